"""Lists, page by page: a cursor says where the page before ended, and means nothing to its bearer.

A cursor is the sort key of the last item and a mark of what it continues: the workspace, the path and the query. With
another one of these it is refused. It is read strictly into the key's type and is a value of a query inside the
caller's workspace, so a made-up one finds nothing that a real one could not.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Depends, Query, Request, Response

from unified.api.management.answers import json_answer
from unified.api.management.problems import Problem

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")

LARGEST_PAGE = 200

_MARK_BYTES = 8
# How much is shown, of the list and of each item, says nothing about which items it has.
_NOT_OF_THE_LIST = frozenset({"cursor", "limit", "fields", "expand", "raw"})


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """One page of a list.

    Attributes:
        items: In the list's order.
        next: Cursor of the next page; None on the last one.
    """

    items: Sequence[_Item]
    next: str | None


class MarkError(ValueError):
    """A text was not made by :func:`marked`, or for another scope."""


def scope_of(request: Request, without: Collection[str] = ()) -> bytes:
    """What a cursor of a request is good for: its workspace, its path, and its query but for some parameters."""
    caller = request.state.caller
    left_out = _NOT_OF_THE_LIST.union(without)
    query = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in left_out)
    scope = (getattr(caller, "workspace_id", None), request.url.path, query)
    return hashlib.blake2b(msgspec.json.encode(scope), digest_size=32).digest()


def marked(scope: bytes, value: object) -> str:
    """A value as a text that :func:`unmarked` takes for the same scope only."""
    body = msgspec.json.encode(value)
    return base64.urlsafe_b64encode(_mark(scope, body) + body).decode().rstrip("=")


def unmarked(scope: bytes, text: str, kind: type[_Key]) -> _Key:
    """The value of a text that :func:`marked` made.

    Raises:
        MarkError: If it did not, or for another scope.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        mark, body = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
        if mark != _mark(scope, body):
            raise MarkError
        return msgspec.json.decode(body, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise MarkError from None


def _mark(scope: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_MARK_BYTES, key=scope).digest()


class Paging:
    """Which page a request asks for."""

    def __init__(self, request: Request, cursor: str | None, limit: int) -> None:
        """Of ``request``, from ``cursor`` on, ``limit`` items."""
        self.limit = limit
        self._request = request
        self._cursor = cursor
        self._scope = scope_of(request)

    @property
    def fetch(self) -> int:
        """How many items to read: one more than the page has, which shows whether another follows."""
        return self.limit + 1

    def after(self, kind: type[_Key]) -> _Key | None:
        """The sort key of the last item of the page before; None on the first page.

        Args:
            kind: Its type, such as ``str``, ``int`` or ``tuple[datetime, UUID]``.

        Raises:
            Problem: If the cursor is not one of ours, or of another list, query or workspace.
        """
        if self._cursor is None:
            return None
        try:
            return unmarked(self._scope, self._cursor, kind)
        except MarkError:
            raise Problem(
                422, "The cursor is not one that a page of this list and query gave; start without one."
            ) from None

    def cursor_after(self, key: object) -> str:
        """The cursor of a page that begins behind this sort key."""
        return marked(self._scope, key)

    def link(self, following: str | None) -> Mapping[str, str]:
        """The header ``Link`` of a page that another one follows."""
        if following is None:
            return {}
        return {"link": f'<{self.address(following)}>; rel="next"'}

    def address(self, cursor: str) -> str:
        """The address of this list and query from a cursor on: a path with its query."""
        query = [pair for pair in self._request.query_params.multi_items() if pair[0] != "cursor"]
        return f"{self._request.url.path}?{urlencode([*query, ('cursor', cursor)])}"

    def divided(
        self, found: Sequence[_Item], key: Callable[[_Item], object]
    ) -> tuple[Sequence[_Item], str | None]:
        """The items of the page, and the cursor of the next page; None behind the last.

        Args:
            found: What was read: up to :attr:`fetch` items.
            key: Sort key of an item, as :meth:`after` will want it.
        """
        items = found[: self.limit]
        return items, self.cursor_after(key(items[-1])) if len(found) > self.limit else None

    def answer(self, found: Sequence[_Item], key: Callable[[_Item], object]) -> Response:
        """The page, with a ``Link`` to the next one; see :meth:`divided`."""
        items, following = self.divided(found, key)
        return json_answer(Page(items, following), headers=self.link(following))


def paged(usual: int, largest: int) -> Callable[..., Any]:
    """What makes the :class:`Paging` of a request.

    Args:
        usual: Items per page, unless the request says otherwise.
        largest: At most.
    """

    async def paging(
        request: Request,
        cursor: Annotated[
            str | None,
            Query(
                max_length=4_000,
                pattern="^[A-Za-z0-9_-]+$",
                description="Where the page before ended: its `next`.",
            ),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=largest, description="Items per page.")] = usual,
    ) -> Paging:
        return Paging(request, cursor, limit)

    return paging


AskedPage = Annotated[Paging, Depends(paged(50, LARGEST_PAGE))]
"""Parameter of a route that lists."""
