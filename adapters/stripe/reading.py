"""Stripe's API as raw records: lists by ranges of ``created``, objects with all that is nested in them, single ones.

Not here: what to read when (``sources``, ``changes``), and what a record means (``mapping``).
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from adapters.stripe.secret import without_secret
from unified.kit.errors import NotFoundError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import AfterId
from unified.kit.reading.ranges import Range, RangedList, Ranges
from unified.kit.reading.raw import each_by_id, id_of, raw_record
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Page, RawRecord

_Answer = TypeVar("_Answer")

PAGE = "100"
_FETCHED_AT_ONCE = 100
_MISSING = "resource_missing"

_CREATED = Ranges("created", "created[gte]", "created[lt]", is_gone=lambda error: error.code == _MISSING)


@dataclass(frozen=True, slots=True)
class _Nested:
    """A list of which an object shows the first ten.

    Attributes:
        field: Where it stands.
        path: Where all of it is listed, with the object's id to be filled in.
        owner: The parameter that names the object, where the path does not.
    """

    field: str
    path: str
    owner: str | None = None


# https://docs.stripe.com/api/invoice-line-item/list, https://docs.stripe.com/api/credit_notes/lines and
# https://docs.stripe.com/api/subscription_items/list
_NESTED = {
    "invoices": _Nested("lines", "/v1/invoices/{}/lines"),
    "credit_notes": _Nested("lines", "/v1/credit_notes/{}/lines"),
    "subscriptions": _Nested("items", "/v1/subscription_items", owner="subscription"),
}

# Lists that leave something out where they are not told otherwise: https://docs.stripe.com/api/subscriptions/list
_ALL = {"subscriptions": (("status", "all"),)}


class _Lines(msgspec.Struct):
    has_more: bool = False


class _Head(msgspec.Struct):
    deleted: Any = False
    lines: _Lines = msgspec.field(default_factory=_Lines)
    items: _Lines = msgspec.field(default_factory=_Lines)


_OBJECT = msgspec.json.Decoder(msgspec.Raw)
_HEAD = msgspec.json.Decoder(_Head)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def stripe_list(path: str, *params: tuple[str, str], limit: str) -> ListEndpoint:
    """A list of Stripe's (https://docs.stripe.com/api/pagination)."""
    paging = AfterId("starting_after", more=("has_more",))
    return ListEndpoint(path, paging, items=("data",), params=(("limit", PAGE), *params), limit=limit)


class StripeReader:
    """Reads raw records through a connection's HTTP client."""

    def __init__(self, http: HttpClient, clock: Callable[[], datetime]) -> None:
        self.http = http
        self.clock = clock

    async def touch(self, name: str) -> None:
        """Ask for one record: whether the list may be read, and what time it is at the provider."""
        await self.http.request("GET", f"/v1/{name}", _OBJECT, params=[("limit", "1")], limit=name)

    async def events(self, window: Window, types: Iterable[tuple[str, str]]) -> Range:
        """The newest page of a window of events of some types."""
        return await self._list("events").page(window, [*types])

    async def listed(self, name: str, window: Window) -> WindowPage:
        """The newest page of a window of a list, each object with all that is nested in it."""
        nested = _NESTED.get(name)
        if nested is not None:
            return await self._list(name).records(window, partial(self._with_all, nested))
        page = await self._list(name).records(window)
        return replace(page, records=[_without_secret(name, one) for one in page.records])

    def current(self, name: str, ids: Iterable[str]) -> AsyncGenerator[Page, None]:
        """Objects as they are now, those that are gone as tombstones; events are only missing once they are old."""
        limit = name.removesuffix("s")
        nested = _NESTED.get(name)

        async def read(object_id: str) -> RawRecord | None:
            path = f"/v1/{name}/{quote(object_id, safe='')}"
            raw = await _unless_missing(self.http.request("GET", path, _OBJECT, limit=limit))
            if raw is None or (head := _head_of(raw)).deleted is True:
                return None
            record = _without_secret(name, raw_record(id_of(raw), raw))
            if nested is not None and getattr(head, nested.field).has_more:
                return await self._with_all(nested, record)
            return record

        return each_by_id(
            ids, read, clock=self.clock, size=_FETCHED_AT_ONCE, missing_is_gone=name != "events"
        )

    def _list(self, name: str) -> RangedList:
        listed = stripe_list(f"/v1/{name}", *_ALL.get(name, ()), limit=name)
        nested = _NESTED.get(name)
        ranges = replace(_CREATED, partial=(nested.field, "has_more")) if nested else _CREATED
        return RangedList(listed, ranges, self.http, self.clock)

    async def _with_all(self, nested: _Nested, record: RawRecord) -> RawRecord | None:
        """An object with all of a list in place of the first ten; None where it was deleted meanwhile."""
        elements = await _unless_missing(self._elements(nested, str(record.source_id)))
        if elements is None:
            return None
        parts = _PARTS.decode(record.body)
        listed = {**_PARTS.decode(parts[nested.field]), "data": elements, "has_more": False}
        whole = {**parts, nested.field: msgspec.Raw(msgspec.json.encode(listed))}
        return raw_record(record.source_id, msgspec.json.encode(whole))

    async def _elements(self, nested: _Nested, object_id: str) -> list[msgspec.Raw]:
        named = () if nested.owner is None else ((nested.owner, object_id),)
        listed = stripe_list(nested.path.format(quote(object_id, safe="")), *named, limit="lines")
        return [one async for part in listed.pages(self.http) for one in part.items]


def _without_secret(name: str, record: RawRecord) -> RawRecord:
    body = bytes(record.body)
    kept = without_secret(name, body)
    return record if kept is body else RawRecord(record.source_id, kept)


async def _unless_missing(request: Coroutine[Any, Any, _Answer]) -> _Answer | None:
    """What a request is answered; None where the object is not there any more."""
    try:
        return await request
    except NotFoundError as error:
        if error.code != _MISSING:
            raise
        return None


def _head_of(raw: bytes | memoryview | msgspec.Raw) -> _Head:
    """What reading needs of an object; of one of another form the mapping says what is wrong with it."""
    try:
        return _HEAD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Head()
