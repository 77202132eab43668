"""A long list that can be asked for ranges of a number: read newest first, by several readers at once.

The number is what the list is ordered by, such as the second of a record's creation. A reader works on one
:class:`unified.kit.reading.windows.Window` of it, and goes on after the last record of a page by that record's id.

Not here: how windows are split and read side by side (``windows``), and what a full refresh is (``refresh``).
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from unified.kit.errors import ConfigurationError, ProtocolError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint, Parameters
from unified.kit.reading.pages import misplaced
from unified.kit.reading.paging import AfterId, Path
from unified.kit.reading.raw import id_of, raw_record
from unified.kit.reading.windows import Window, WindowPage, as_far_as_done
from unified.kit.streams import RawRecord

BEGINNING, END = 0, 2**40
"""Ends of the number: a window that reaches them asks for no bound there, so no record is missed, however odd."""

_DAY = 86_400

# A first look at a history whose beginning is unknown: back by so many days, each twice as far as the last one.
_REACH_DAYS = (30, 60, 120, 240, 480, 960, 1_920, 3_840)


def ages(now: datetime, since: datetime | None = None) -> list[Window]:
    """Windows of Unix seconds over all time, newest first, each twice as long as the one before.

    Args:
        now: Where the first one begins.
        since: Where the last one ends; None for the beginning of time.
    """
    begin = BEGINNING if since is None else int(since.timestamp())
    edges = [END, *(int(now.timestamp()) - days * _DAY for days in _REACH_DAYS)]
    edges = [*(edge for edge in edges if edge > begin), begin]
    return [Window(low, high) for high, low in pairwise(edges)]


class Place(NamedTuple):
    """Where a record stands in its list; of any type, as an odd record must not break its page.

    Attributes:
        id: Its id.
        number: Its number.
        is_partial: Whether it says that it shows only a part of what is nested in it.
    """

    id: Any
    number: Any
    is_partial: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the list can be asked on from here."""
        return isinstance(self.id, str) and isinstance(self.number, int)


@dataclass(frozen=True, slots=True)
class Range:
    """One page of a window.

    Attributes:
        items: Its records as JSON, newest first.
        places: The place of each.
        observed_at: When it was asked for.
        rest: What is left of the window, or None.
    """

    items: Sequence[msgspec.Raw]
    places: Sequence[Place]
    observed_at: datetime
    rest: Window | None


@dataclass(frozen=True, slots=True)
class Ranges:
    """How a list is asked for ranges.

    Attributes:
        number: The field of a record that holds the number; its id is in ``id``.
        low: The parameter for the lowest number.
        high: The parameter for the first number beyond the highest.
        is_gone: Whether a refusal says that the record to go on after is gone. Then the window is asked for once more,
            from its high end, which is right above that record.
        partial: Where a record says that it shows only a part of what is nested in it; no keys where none does.
    """

    number: str
    low: str
    high: str
    is_gone: Callable[[RequestRefusedError], bool]
    partial: Path = ()

    def parameters(self, window: Window) -> Iterator[tuple[str, str]]:
        """The bounds of a window."""
        if window.low > BEGINNING:
            yield self.low, str(window.low)
        if window.high < END:
            yield self.high, str(window.high)


class RangedList:
    """Reads one list by windows."""

    def __init__(
        self, endpoint: ListEndpoint, ranges: Ranges, http: HttpClient, clock: Callable[[], datetime]
    ) -> None:
        """Read through a connected client.

        Raises:
            ConfigurationError: If the list does not page by ids.
        """
        if not isinstance(endpoint.paging, AfterId):
            raise ConfigurationError(
                f"{http.label}: {endpoint.path} is read by ranges; let it page by AfterId"
            )
        self._endpoint = endpoint
        self._paging = endpoint.paging
        self._ranges = ranges
        self._http = http
        self._clock = clock
        self._head = _head_with(ranges.number, ranges.partial)

    async def page(self, window: Window, params: Parameters = ()) -> Range:
        """Read the newest page of a window.

        Args:
            window: Which range.
            params: Further conditions.

        Raises:
            ProtocolError: If the page does not follow its window, so that going on from it would miss records.
        """
        observed_at = self._clock()
        try:
            items, follows = await self._endpoint.read(
                self._http,
                lambda answer: (answer.items, self._paging.follows(answer)),
                window.after,
                [*self._ranges.parameters(window), *params],
            )
        except RequestRefusedError as error:
            if window.after is None or not self._ranges.is_gone(error):
                raise
            items, follows = (), False
        if window.after is not None and not items:
            # More was promised, or the record to go on after was deleted meanwhile.
            return await self.page(Window(window.low, window.high), params)
        places = [self._place(item) for item in items]
        self._check(window, places, follows=follows)
        return Range(items, places, observed_at, behind(window, places) if follows else None)

    async def records(
        self,
        window: Window,
        complete: Callable[[RawRecord], Coroutine[Any, Any, RawRecord | None]] | None = None,
    ) -> WindowPage:
        """The newest page of a window as raw records.

        Args:
            window: Which range.
            complete: Completes a partial one by requests of its own, and is answered None where it was deleted
                meanwhile. Where a request fails, the page ends before that record, and the rest of the window begins
                with it.

        Raises:
            ProviderError: If nothing of the page was read.
        """
        page = await self.page(window)
        found: list[RawRecord | None] = [
            raw_record(place.id, item) for item, place in zip(page.items, page.places, strict=True)
        ]
        # Most are whole. A task for each of them would cost more than all else that is done with it here.
        requests = {
            at: complete(record)
            for at, (record, place) in enumerate(zip(found, page.places, strict=True))
            if complete is not None and record is not None and place.is_partial
        }
        completed, failure = await as_far_as_done(requests.values())
        rest = page.rest
        if failure is not None:
            found = found[: list(requests)[len(completed)]]
            rest = behind(window, page.places[: len(found)])
            if rest is None:
                raise failure
        for at, record in zip(requests, completed, strict=False):
            found[at] = record
        living = [record for record in found if record is not None]
        return WindowPage(living, page.observed_at, rest, is_cut=failure is not None)

    def _place(self, item: msgspec.Raw) -> Place:
        try:
            head = self._head.decode(item)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._odd_place(item)
        partial = head.partial
        for _ in self._ranges.partial[1:]:
            partial = partial and partial.value
        return Place(head.id, head.number, partial is True)

    def _odd_place(self, item: msgspec.Raw) -> Place:
        """The place of a record in which something else than the place is of another form, or that has none."""
        try:
            head = _head_with(self._ranges.number).decode(item)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Place(id_of(item), None)
        return Place(head.id, head.number)

    def _check(self, window: Window, places: Sequence[Place], *, follows: bool) -> None:
        known = [place for place in places if place.is_known]
        fault = misplaced(
            [place.number for place in known],
            low=window.low or float("-inf"),
            high=window.high if window.high < END else float("inf"),
            descending=True,
        )
        if any(place.id == window.after for place in known):
            fault = "repeats a page"
        elif follows and not known:
            fault = "has no readable record, yet more follow"
        if fault:
            name = self._endpoint.path.rpartition("/")[2]
            raise ProtocolError(f"{self._http.label}: a page of {name} {fault}")


@cache
def _head_with(number: str, partial: Path = ()) -> msgspec.json.Decoder[Any]:
    """Reads a record's id, its number and whether it is partial, and skips the rest."""
    flag: Any = Any
    for key in reversed(partial[1:]):
        flag = msgspec.defstruct("Nested", [("value", flag, None)], rename={"value": key}) | None
    fields = [("id", Any, None), ("number", Any, None), ("partial", flag, None)]
    names = {"number": number, **({"partial": partial[0]} if partial else {})}
    return msgspec.json.Decoder(msgspec.defstruct("Head", fields, rename=names))


def behind(window: Window, places: Sequence[Place]) -> Window | None:
    """What is left of a window behind the last of some records, newest first; None where no place is known."""
    last = next((place for place in reversed(places) if place.is_known), None)
    return None if last is None else Window(window.low, last.number + 1, last.id)
