"""Stripe's API as raw records: lists by windows of ``created``, invoices with all lines, single objects.

Not here: what to read when (``adapter``, ``changes``), and what a record means (``mapping``).
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from unified.kit.errors import NotFoundError, ProtocolError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import AfterId, misplaced
from unified.kit.reading.raw import each_by_id, raw_record
from unified.kit.reading.windows import Window, WindowPage, as_far_as_done
from unified.kit.streams import Page, RawRecord

# Ends of time: a window that reaches them asks for no bound there, so that no record is missed whatever its
# date.
BEGINNING, END = 0, 2**40

PAGE = "100"
_FETCHED_AT_ONCE = 100
_MISSING = "resource_missing"
Parameters = Sequence[tuple[str, str]]


class _List(msgspec.Struct):
    """A page of a list (https://docs.stripe.com/api/pagination); its objects stay undecoded."""

    data: list[msgspec.Raw]
    has_more: bool


class _Lines(msgspec.Struct):
    has_more: bool = False


class Head(msgspec.Struct):
    """What reading needs of an object; id and time of any type, for a broken one must not break its page."""

    id: Any = None
    created: Any = None
    lines: _Lines = msgspec.field(default_factory=_Lines)


class _IdOnly(msgspec.Struct):
    id: Any = None


class _State(msgspec.Struct):
    deleted: Any = False


_LIST = msgspec.json.Decoder(_List)
_OBJECT = msgspec.json.Decoder(msgspec.Raw)
_HEAD = msgspec.json.Decoder(Head)
_ID_ONLY = msgspec.json.Decoder(_IdOnly)
_STATE = msgspec.json.Decoder(_State)
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list.

    Attributes:
        objects: Its objects as JSON, newest first.
        heads: The head of each.
        observed_at: When it was asked for.
        rest: What is left of the window, or None.
    """

    objects: list[msgspec.Raw]
    heads: list[Head]
    observed_at: datetime
    rest: Window | None


class StripeReader:
    """Reads raw records through a connection's HTTP client."""

    def __init__(self, http: HttpClient, clock: Callable[[], datetime]) -> None:
        self.http = http
        self.clock = clock

    async def touch(self, name: str) -> None:
        """Ask for one record: whether the list may be read, and what time it is at the provider."""
        await self.http.request("GET", f"/v1/{name}", _OBJECT, params=[("limit", "1")], limit=name)

    async def page(self, name: str, window: Window, parameters: Parameters = ()) -> Listing:
        """Read the newest page of a window.

        Args:
            name: ``customers``, ``invoices`` or ``events``.
            window: Range of ``created`` in Unix seconds.
            parameters: Further conditions.

        Raises:
            ProtocolError: If the page does not follow its window, so that going on from it would miss
                records.
        """
        observed_at = self.clock()
        try:
            answer = await self._list(name, f"/v1/{name}", [*_bounds(window), *parameters])
        except RequestRefusedError as error:
            if window.after is None or error.code != _MISSING:
                raise
            answer = _List([], has_more=False)
        if window.after is not None and not answer.data:
            # More was promised, or the object to go on from was deleted meanwhile: once more, then, from the
            # window's high end, which is right above that object.
            return await self.page(name, Window(window.low, window.high), parameters)
        heads = [_head_of(raw) for raw in answer.data]
        placed = [(head.id, head.created) for head in heads if _is_placed(head)]
        low, high = window.low or float("-inf"), window.high if window.high < END else float("inf")
        fault = misplaced([second for _, second in placed], low=low, high=high, descending=True)
        if any(object_id == window.after for object_id, _ in placed):
            fault = "repeats a page"
        elif answer.has_more and not placed:
            fault = "has no readable record, yet more follow"
        if fault:
            raise ProtocolError(f"{self.http.label}: a page of {name} {fault}")
        rest = behind(window, placed) if answer.has_more else None
        return Listing(answer.data, heads, observed_at, rest)

    async def listed(self, name: str, window: Window) -> WindowPage:
        """The newest page of a window as raw records.

        An invoice of many lines takes requests of its own. Where one of them fails, the page ends before that invoice,
        and the rest of the window begins with it: what was read before is kept.

        Raises:
            ProviderError: If nothing of the page was read.
        """
        listing = await self.page(name, window)
        whole = [self._whole(raw, head) for raw, head in zip(listing.objects, listing.heads, strict=True)]
        found, failure = await as_far_as_done(whole)
        rest = listing.rest
        if failure is not None:
            rest = behind(window, [(one.id, one.created) for one in listing.heads[: len(found)]])
            if rest is None:
                raise failure
        records = [record for record in found if record is not None]
        return WindowPage(records, listing.observed_at, rest, is_cut=failure is not None)

    def current(self, name: str, ids: Iterable[str]) -> AsyncGenerator[Page, None]:
        """Objects as they are now, those that are gone as tombstones.

        Args:
            name: ``customers`` or ``invoices``; ``events`` too, which are only missing once they are old.
            ids: Their ids.
        """

        async def read(object_id: str) -> RawRecord | None:
            raw = await self._object(name, object_id)
            return None if raw is None else await self._whole(raw, _head_of(raw))

        return each_by_id(
            ids, read, clock=self.clock, size=_FETCHED_AT_ONCE, missing_is_gone=name != "events"
        )

    async def _object(self, name: str, object_id: str) -> msgspec.Raw | None:
        """One object, or None where it was deleted."""
        path = f"/v1/{name}/{quote(object_id, safe='')}"
        try:
            raw = await self.http.request("GET", path, _OBJECT, limit=name.removesuffix("s"))
        except NotFoundError as error:
            if error.code != _MISSING:
                raise
            return None
        return None if _STATE.decode(raw).deleted is True else raw

    async def _whole(self, raw: msgspec.Raw, head: Head) -> RawRecord | None:
        """The raw record of an object, an invoice with all its lines; None where it was deleted meanwhile."""
        return await self._with_all_lines(head.id, raw) if head.lines.has_more else raw_record(head.id, raw)

    async def _list(self, limit: str, path: str, parameters: Parameters) -> _List:
        return await self.http.request("GET", path, _LIST, params=[("limit", PAGE), *parameters], limit=limit)

    async def _with_all_lines(self, invoice_id: str, raw: msgspec.Raw) -> RawRecord | None:
        """An invoice with all its lines in place of the first ten; None where it was deleted meanwhile."""
        try:
            lines = await self._lines(invoice_id)
        except NotFoundError as error:
            if error.code != _MISSING:
                raise
            return None
        parts = _PARTS.decode(raw)
        listed = msgspec.json.encode({**_PARTS.decode(parts["lines"]), "data": lines, "has_more": False})
        return raw_record(invoice_id, msgspec.json.encode({**parts, "lines": msgspec.Raw(listed)}))

    async def _lines(self, invoice_id: str) -> list[msgspec.Raw]:
        """All lines of an invoice (https://docs.stripe.com/api/invoice-line-item/list)."""
        lines = stripe_list(f"/v1/invoices/{invoice_id}/lines", limit="lines")
        return [line async for part in lines.pages(self.http) for line in part.items]


def behind(window: Window, placed: Sequence[tuple[Any, Any]]) -> Window | None:
    """What is left of a window behind the last of some objects, newest first; None where none can be placed.

    Args:
        window: Which window.
        placed: Id and ``created`` of each object, as far as they are readable.
    """
    for object_id, created in reversed(placed):
        if isinstance(object_id, str) and isinstance(created, int):
            return Window(window.low, created + 1, object_id)
    return None


def stripe_list(path: str, *, limit: str) -> ListEndpoint:
    """A list of Stripe's that is read to its end (https://docs.stripe.com/api/pagination)."""
    paging = AfterId("starting_after", more=("has_more",))
    return ListEndpoint(path, paging, items=("data",), params=(("limit", PAGE),), limit=limit)


def _head_of(raw: msgspec.Raw) -> Head:
    """The head of an object, as far as it is readable."""
    try:
        return _HEAD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return Head(id=_ID_ONLY.decode(raw).id)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Head()


def _is_placed(head: Head) -> bool:
    return isinstance(head.id, str) and isinstance(head.created, int)


def _bounds(window: Window) -> list[tuple[str, str]]:
    bounds = []
    if window.low > BEGINNING:
        bounds.append(("created[gte]", str(window.low)))
    if window.high < END:
        bounds.append(("created[lt]", str(window.high)))
    if window.after is not None:
        bounds.append(("starting_after", window.after))
    return bounds
