"""Full refreshes: what marks their pages, what their cursor holds, and where they go on."""

from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

NOW = datetime(2026, 11, 20, tzinfo=UTC)
THEN = {"since": 7, "seen": ["a"]}


async def fetch(window: Window) -> WindowPage:
    """Records named by their number, two to a page."""
    numbers = range(window.low, window.high)[:2]
    rest = Window(window.low + 2, window.high) if window.high - window.low > 2 else None
    return WindowPage([RawRecord(str(number), b"{}") for number in numbers], NOW, rest)


def stored(cursor: Cursor | None) -> Cursor:
    """A cursor as it comes back from the database."""
    found: Cursor = msgspec.json.decode(msgspec.json.encode(cursor))
    return found


async def count() -> int:
    return 4


async def test_it_marks_its_pages_and_ends_with_what_follows() -> None:
    refresh = Refresh(NOW, [Window(0, 4)], THEN)
    pages = [page async for page in refresh.pages(fetch, readers=1, source_count=count)]
    assert [len(page.records) for page in pages] == [2, 2, 0]
    assert {page.refresh_started_at for page in pages} == {NOW}
    assert [page.refresh_done for page in pages] == [False, False, True]
    assert [page.source_count for page in pages] == [None, None, 4]
    assert pages[-1].cursor == THEN
    assert [is_unfinished(page.cursor) for page in pages] == [True, True, False]


async def test_it_goes_on_after_a_pause_where_it_stood() -> None:
    refresh: Refresh | None = Refresh(NOW, [Window(0, 6), Window(6, 9)], THEN)
    met: list[Page] = []
    while refresh:
        async with aclosing(refresh.pages(fetch, readers=2)) as pages:
            async for page in pages:
                met.append(page)
                break
        refresh = Refresh.load(stored(met[-1].cursor))
    assert sorted(record.source_id or "" for page in met for record in page.records) == list("012345678")
    assert {page.refresh_started_at for page in met} == {NOW}
    assert met[-1].cursor == THEN


async def test_one_that_compares_says_so_after_a_pause_and_brings_ids_alone() -> None:
    async def ids(window: Window) -> WindowPage:
        page = await fetch(window)
        return WindowPage((), NOW, page.rest, met=[str(record.source_id) for record in page.records])

    refresh: Refresh | None = Refresh(NOW, [Window(0, 3)], THEN, compares=True)
    assert refresh is not None
    pages = [page async for page in refresh.pages(ids, readers=1)]
    assert [list(page.met) for page in pages] == [["0", "1"], ["2"], []]
    assert [len(page.records) for page in pages] == [0, 0, 0]
    assert Refresh.load(stored(pages[0].cursor)) == Refresh(NOW, [Window(2, 3)], THEN, compares=True)
    assert pages[-1].cursor == THEN


def test_a_cursor_of_an_earlier_release_is_read() -> None:
    cursor = {
        "since": 7,
        "refresh": {"started_at": NOW.isoformat(), "windows": [[0, 5, "id1"], [5, 9, None]]},
    }
    refresh = Refresh.load(cursor)
    assert refresh == Refresh(NOW, [Window(0, 5, "id1"), Window(5, 9)], {"since": 7})
    assert refresh.dump() == cursor
    assert not is_unfinished(None)
    assert Refresh.load({"since": 7}) is Refresh.load(None) is None


async def test_tombstones_pass_through() -> None:
    async def gone(_: Window) -> WindowPage:
        return WindowPage((), NOW, None, [Tombstone("id1", NOW)])

    pages = [page async for page in Refresh(NOW, [Window(0, 1)], {}).pages(gone, readers=1)]
    assert [list(page.tombstones) for page in pages] == [[Tombstone("id1", NOW)], []]
