"""Reading a long history side by side: ranges that split while they are read.

A list API hands out one page after another, so a single reader waits for the network most of the time. Here
a history is a set of *windows*, ranges of whatever number the API can filter by (``created``, an object
id). Each reader works on one window; whenever readers are idle, what is left of a window is split among
them, into no more parts than it seems to have pages. No count and no distribution need to be known
beforehand: an empty part costs one request.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar

from unified.kit.errors import ProviderError
from unified.kit.reading.paging import Position
from unified.kit.streams import RawRecord, Tombstone


@dataclass(frozen=True, slots=True)
class Window:
    """A range that is still to be read.

    Attributes:
        low: First number in the range.
        high: First number beyond it.
        after: Position of a page inside the range, next to ``high``, where the API pages by record ids.
        page: Position of a page that means nothing outside this very range, such as a token: the range has to stay
            as it is until it is read.
        of: Which list the range is of, where a stream is made of several.
    """

    low: int
    high: int
    after: str | None = None
    page: Position | None = None
    of: str | None = None

    @classmethod
    def load(cls, kept: Sequence[Any]) -> "Window":
        """The window that :meth:`dump` made this list of."""
        return cls(*kept)

    def dump(self) -> list[Any]:
        """The window as a cursor keeps it."""
        more = (self.page,) if self.of is None else (self.page, self.of)
        return [self.low, self.high, self.after, *(() if more == (None,) else more)]

    def split(self, parts: int) -> list["Window"]:
        """Cut the range into at most ``parts`` ranges of equal length; the highest keeps the position.

        A range with a page in it stays whole.
        """
        parts = max(1, min(parts, self.high - self.low)) if self.page is None else 1
        edges = [self.low + (self.high - self.low) * i // parts for i in range(parts + 1)]
        cut = [Window(low, high, of=self.of) for low, high in pairwise(edges)]
        cut[-1] = replace(cut[-1], after=self.after, page=self.page)
        return cut


@dataclass(frozen=True, slots=True)
class WindowPage:
    """One page of a window.

    Attributes:
        records: Its raw records.
        observed_at: When the source was known to be in this state: just before it was asked.
        rest: What is left of the window, or None.
        tombstones: Records that turned out to be gone.
        is_cut: Whether a failed request ended it early, so that the rest is more of this page.
        met: Ids of records that are there and were not read.
    """

    records: Sequence[RawRecord]
    observed_at: datetime
    rest: Window | None
    tombstones: Sequence[Tombstone] = ()
    is_cut: bool = False
    met: Sequence[str] = ()


Fetch = Callable[[Window], Awaitable[WindowPage]]
_Result = TypeVar("_Result")


async def side_by_side(requests: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Run requests at the same time; the first that fails ends the others.

    Returns:
        Their results, in the order of the requests.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(request) for request in requests]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def as_far_as_done(
    requests: Iterable[Coroutine[Any, Any, _Result]],
) -> tuple[list[_Result], ProviderError | None]:
    """Run requests at the same time, and keep what was done before the first that fails.

    Returns:
        The results of those before it in the order of the requests, and its error; all of them and None where none
        failed. Those behind it are given up.
    """
    tasks = [asyncio.ensure_future(request) for request in requests]
    done: list[_Result] = []
    try:
        for task in tasks:
            done.append(await task)  # noqa: PERF401 - what is done counts, whatever the next one raises
    except ProviderError as failure:
        return done, failure
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return done, None


async def read_windows(
    windows: Sequence[Window],
    fetch: Fetch,
    *,
    readers: int,
    is_saturated: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[tuple[WindowPage, list[Window]], None]:
    """Read windows side by side until nothing is left.

    Args:
        windows: Where to begin.
        fetch: Reads one page of a window.
        readers: Pages under way at once, which is also how many are held in memory.
        is_saturated: Says whether requests wait for a rate limit. Then nothing is split, as that would only cost
            requests.

    Yields:
        Each page with all that is still to be read once this page is stored: a place to go on from.
    """
    waiting = deque(windows)
    reading: dict[asyncio.Future[WindowPage], Window] = {}
    try:
        while waiting or reading:
            while waiting and len(reading) < readers:
                window = waiting.popleft()
                reading[asyncio.ensure_future(fetch(window))] = window
            finished, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            # One that failed comes last: what the others brought is handed over first.
            for task in sorted(finished, key=lambda one: one.exception() is not None):
                page = task.result()
                window = reading.pop(task)
                if page.rest is not None:
                    idle = 1 if page.is_cut or is_saturated() else readers - len(reading) - len(waiting)
                    waiting.extend(reversed(page.rest.split(min(idle, _pages_in(page.rest, window)))))
                yield page, [*reading.values(), *waiting]
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


def _pages_in(rest: Window, window: Window) -> int:
    """How many pages seem to be left of a window, if the rest is as dense as the page that was read of it."""
    left = _unread(rest)
    return math.ceil(left / max(_unread(window) - left, 1))


def _unread(window: Window) -> int:
    """Numbers in a window; the highest one is read, as far as is known, where it is the position's own."""
    return window.high - window.low - (window.after is not None)
