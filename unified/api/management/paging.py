"""Lists, page by page: a cursor says where the page before ended, and means nothing to its bearer.

A cursor is the sort key of the last item, in base64. It is read strictly into the key's type and is a value of a query
inside the caller's workspace, so a made-up one finds nothing that a real one could not.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, Query, Request, Response

from unified.api.management.answers import json_answer
from unified.api.management.problems import Problem

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")

LARGEST_PAGE = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """One page of a list.

    Attributes:
        items: In the list's order.
        next: Cursor of the next page; None on the last one.
    """

    items: Sequence[_Item]
    next: str | None


class Paging:
    """Which page a request asks for."""

    def __init__(self, request: Request, cursor: str | None, limit: int) -> None:
        """Of ``request``, from ``cursor`` on, ``limit`` items."""
        self.limit = limit
        self._request = request
        self._cursor = cursor

    @property
    def fetch(self) -> int:
        """How many items to read: one more than the page has, which shows whether another follows."""
        return self.limit + 1

    def after(self, kind: type[_Key]) -> _Key | None:
        """The sort key of the last item of the page before; None on the first page.

        Args:
            kind: Its type, such as ``str``, ``int`` or ``tuple[datetime, UUID]``.

        Raises:
            Problem: If the cursor is not one of ours.
        """
        if self._cursor is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(self._cursor + "=" * (-len(self._cursor) % 4))
            return msgspec.json.decode(raw, type=kind)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise Problem(
                422, "The cursor is not one that a page of this list gave; start without one."
            ) from None

    def answer(self, found: Sequence[_Item], key: Callable[[_Item], object]) -> Response:
        """The page, with a ``Link`` to the next one.

        Args:
            found: What was read: up to :attr:`fetch` items.
            key: Sort key of an item, as :meth:`after` will want it.
        """
        items = found[: self.limit]
        following = None
        headers = {}
        if len(found) > self.limit:
            following = base64.urlsafe_b64encode(msgspec.json.encode(key(items[-1]))).decode().rstrip("=")
            query = dict(self._request.query_params) | {"cursor": following}
            headers["link"] = f'<{self._request.url.path}?{urlencode(query)}>; rel="next"'
        return json_answer(Page(items, following), headers=headers)


async def _paging(
    request: Request,
    cursor: Annotated[
        str | None, Query(max_length=1_000, description="Where the page before ended: its `next`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Items per page.")] = 50,
) -> Paging:
    return Paging(request, cursor, limit)


AskedPage = Annotated[Paging, Depends(_paging)]
"""Parameter of a route that lists."""
