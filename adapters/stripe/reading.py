"""Stripe's API as raw records: lists by ranges of ``created``, invoices with all lines, single objects.

Not here: what to read when (``sources``, ``changes``), and what a record means (``mapping``).
"""

import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

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


class _Lines(msgspec.Struct):
    has_more: bool = False


class _Head(msgspec.Struct):
    deleted: Any = False
    lines: _Lines = msgspec.field(default_factory=_Lines)


# Nearly all invoices have no more lines, and a look for the words costs less than decoding them.
_MORE = re.compile(rb'"has_more"\s*:\s*true')

_OBJECT = msgspec.json.Decoder(msgspec.Raw)
_HEAD = msgspec.json.Decoder(_Head)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def stripe_list(path: str, *, limit: str) -> ListEndpoint:
    """A list of Stripe's (https://docs.stripe.com/api/pagination)."""
    paging = AfterId("starting_after", more=("has_more",))
    return ListEndpoint(path, paging, items=("data",), params=(("limit", PAGE),), limit=limit)


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
        """The newest page of a window of ``customers``, ``invoices`` or ``events``, invoices with all their lines."""
        listed = self._list(name)
        return await (
            listed.records(window, self._completed) if name == "invoices" else listed.records(window)
        )

    def current(self, name: str, ids: Iterable[str]) -> AsyncGenerator[Page, None]:
        """Objects as they are now, those that are gone as tombstones; events are only missing once they are old."""
        limit = name.removesuffix("s")

        async def read(object_id: str) -> RawRecord | None:
            path = f"/v1/{name}/{quote(object_id, safe='')}"
            raw = await _unless_missing(self.http.request("GET", path, _OBJECT, limit=limit))
            if raw is None or _head_of(raw).deleted is True:
                return None
            record = raw_record(id_of(raw), raw)
            completing = self._completed(record)
            return record if completing is None else await completing

        return each_by_id(
            ids, read, clock=self.clock, size=_FETCHED_AT_ONCE, missing_is_gone=name != "events"
        )

    def _list(self, name: str) -> RangedList:
        return RangedList(stripe_list(f"/v1/{name}", limit=name), _CREATED, self.http, self.clock)

    def _completed(self, record: RawRecord) -> Coroutine[Any, Any, RawRecord | None] | None:
        """Completes an invoice of more than ten lines; None where there is nothing to complete."""
        if not _MORE.search(record.body) or not _head_of(record.body).lines.has_more:
            return None
        return self._with_all_lines(record)

    async def _with_all_lines(self, record: RawRecord) -> RawRecord | None:
        """An invoice with all its lines in place of the first ten; None where it was deleted meanwhile."""
        lines = await _unless_missing(self._lines(str(record.source_id)))
        if lines is None:
            return None
        parts = _PARTS.decode(record.body)
        listed = msgspec.json.encode({**_PARTS.decode(parts["lines"]), "data": lines, "has_more": False})
        return raw_record(record.source_id, msgspec.json.encode({**parts, "lines": msgspec.Raw(listed)}))

    async def _lines(self, invoice_id: str) -> list[msgspec.Raw]:
        """All lines of an invoice (https://docs.stripe.com/api/invoice-line-item/list)."""
        lines = stripe_list(f"/v1/invoices/{invoice_id}/lines", limit="lines")
        return [line async for part in lines.pages(self.http) for line in part.items]


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
