"""Windows: whatever the history, the splits and the interruptions, each record is read once."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.errors import UnavailableError
from unified.kit.reading.windows import Window, WindowPage, read_windows, side_by_side
from unified.kit.streams import RawRecord

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class History:
    """A list API: records with numbers that may repeat, highest first, a few to a page."""

    numbers: list[int]
    page_size: int = 3
    requests: int = 0
    asked: list[Window] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [(number, f"id{at}") for at, number in enumerate(sorted(self.numbers, reverse=True))]

    async def fetch(self, window: Window) -> WindowPage:
        self.requests += 1
        self.asked.append(window)
        ids = [name for _, name in self.records]
        begin = 0 if window.after is None else ids.index(window.after) + 1
        found = [record for record in self.records[begin:] if window.low <= record[0] < window.high]
        page = found[: self.page_size]
        # Pages come back in an order of their own.
        await asyncio.sleep(0)
        rest = Window(window.low, page[-1][0] + 1, page[-1][1]) if len(found) > len(page) else None
        return WindowPage([RawRecord(name, b"{}") for _, name in page], NOW, rest)


async def read(
    history: History, windows: list[Window], *, readers: int, pages: int | None = None
) -> tuple[list[str | None], list[Window]]:
    """Ids read, and what is left; ``pages`` stops early."""
    ids, left = [], windows
    async with aclosing(read_windows(windows, history.fetch, readers=readers)) as source:
        async for page, rest in source:
            ids += [record.source_id for record in page.records]
            left = rest
            if pages is not None:
                pages -= 1
                if pages <= 0:
                    break
    return ids, left


@st.composite
def cuts(draw: st.DrawFn) -> list[Window]:
    edges = sorted({0, 1_000, *draw(st.lists(st.integers(1, 999), max_size=6))})
    return [Window(low, high) for low, high in pairwise(edges)]


@given(
    numbers=st.lists(st.one_of(st.integers(0, 999), st.just(500)), max_size=80),
    windows=cuts(),
    readers=st.integers(1, 9),
    page_size=st.integers(1, 5),
    stops=st.lists(st.integers(1, 6), max_size=4),
)
def test_every_record_is_read_once_under_any_split_and_any_stop(
    numbers: list[int], windows: list[Window], readers: int, page_size: int, stops: list[int]
) -> None:
    history = History(numbers, page_size)

    async def run() -> list[str]:
        ids, left = [], windows
        for stop in [*stops, None]:
            if left:
                more, left = await read(history, left, readers=readers, pages=stop)
                # A cursor survives being stored.
                left = [*map(Window.load, msgspec.json.decode(msgspec.json.encode([w.dump() for w in left])))]
                ids += more
        return ids

    assert sorted(asyncio.run(run())) == sorted(name for _, name in history.records)


@given(st.integers(-10, 50), st.integers(0, 100), st.integers(-2, 40))
def test_parts_cover_a_window_without_overlap(low: int, length: int, parts: int) -> None:
    cut = Window(low, low + length, "id9").split(parts)
    assert (cut[0].low, cut[-1].high) == (low, low + length)
    assert all(left.high == right.low for left, right in pairwise(cut))
    assert [part.after for part in cut] == [None] * (len(cut) - 1) + ["id9"]
    assert len(cut) <= max(1, parts)


async def test_idle_readers_share_what_is_left() -> None:
    history = History(list(range(1_000)), page_size=10)
    ids, _ = await read(history, [Window(0, 1_000)], readers=8)
    assert len(ids) == len(set(ids)) == 1_000
    assert len([window for window in history.asked if window.after is None]) >= 8


async def test_splitting_costs_few_requests() -> None:
    history = History(list(range(10_000)), page_size=10)
    await read(history, [Window(0, 10_000)], readers=16)
    assert history.requests < 1.1 * 1_000


async def test_a_window_with_a_page_left_is_not_split() -> None:
    history = History(list(range(20)), page_size=10)
    await read(history, [Window(0, 20)], readers=16)
    assert history.requests == 2


async def test_nothing_is_split_while_requests_wait_for_the_limit() -> None:
    history = History(list(range(100)), page_size=10)
    async for _ in read_windows([Window(0, 100)], history.fetch, readers=16, is_saturated=lambda: True):
        pass
    assert history.requests == 10


async def test_no_more_pages_than_readers_are_under_way() -> None:
    under_way = most = 0
    history = History(list(range(500)), page_size=5)

    async def fetch(window: Window) -> WindowPage:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        page = await history.fetch(window)
        under_way -= 1
        return page

    async for _ in read_windows([Window(0, 500)], fetch, readers=4):
        pass
    assert most == 4


async def test_a_failing_page_ends_the_reading_and_the_others() -> None:
    cancelled = []

    async def fetch(window: Window) -> WindowPage:
        if window.low == 0:
            msg = "demo: down"
            raise UnavailableError(msg)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(window.low)
            raise
        raise AssertionError

    with pytest.raises(UnavailableError, match="demo: down"):
        async for _ in read_windows([Window(low, low + 1) for low in (1, 2, 0)], fetch, readers=3):
            pass
    assert sorted(cancelled) == [1, 2]


async def test_a_window_with_a_token_is_not_split_and_goes_on_from_it_after_a_pause() -> None:
    pages = {None: ("token 2", "a"), "token 2": ("token 3", "b"), "token 3": (None, "c")}
    asked: list[Window] = []

    async def fetch(window: Window) -> WindowPage:
        asked.append(window)
        following, name = pages[window.page]
        rest = None if following is None else Window(window.low, window.high, page=following)
        return WindowPage([RawRecord(name, b"{}")], NOW, rest)

    windows, names = [Window(0, 1_000)], []
    while windows:
        async with aclosing(read_windows(windows, fetch, readers=8)) as source:
            async for page, left in source:
                names += [record.source_id for record in page.records]
                windows = [Window.load(msgspec.json.decode(msgspec.json.encode(one.dump()))) for one in left]
                break
    assert names == ["a", "b", "c"]
    assert asked == [Window(0, 1_000, page=page) for page in pages]


async def test_side_by_side_keeps_the_order_and_raises_the_first_failure_itself() -> None:
    async def echo(number: int) -> int:
        for _ in range(5 - number):
            await asyncio.sleep(0)
        if number == 4:
            msg = "demo: down"
            raise UnavailableError(msg)
        return number

    assert await side_by_side([echo(number) for number in range(4)]) == [0, 1, 2, 3]
    with pytest.raises(UnavailableError, match="demo: down"):
        await side_by_side([echo(number) for number in range(5)])
    assert await side_by_side([]) == []
