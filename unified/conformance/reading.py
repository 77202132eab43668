"""What a pull must bring: all of it, each once, through every interruption; then what changed, and single records.

Not here: a provider in trouble (`trouble`).
"""

from unified.conformance.bench import Bench, Copy
from unified.conformance.checks import check, each_edited, each_stream, once
from unified.kit.errors import AuthenticationError, ConfigurationError

_MOST_RUNS = 400


@check(once)
async def finds_the_account_and_refuses_a_wrong_credential(bench: Bench) -> None:
    """``test`` says whose account a credential opens, and raises for one that opens none."""
    async with bench.open() as adapter:
        assert (await adapter.test()).id, "an account has an id"
    wrong = {name: f"{value}_wrong" for name, value in bench.credentials.items()}
    try:
        async with bench.open(wrong) as adapter:
            await adapter.test()
    except (AuthenticationError, ConfigurationError) as error:
        assert adapter.connection.key in str(error), "an error names the connection"
    else:
        raise AssertionError("a wrong credential was accepted")


@check(each_stream)
async def a_full_load_is_complete_and_brings_each_record_once(bench: Bench, stream: str) -> None:
    """One reader or many: all records, no id twice; the last page of a refresh says that it is the last."""
    for concurrency in (1, 8):
        copy = Copy(stream)
        pages = await bench.sync(copy, concurrency=concurrency)
        assert copy.records.keys() == bench.ids(stream)
        assert len(copy.met) == len(set(copy.met)), "a record came twice"
        assert len(pages) > 1, "the bench's stand-in has to hold more than one page"
        marks = [page.refresh_done for page in pages if page.refresh_started_at is not None]
        assert marks in ([], [False] * (len(pages) - 1) + [True]), "refresh_done marks the last page alone"


@check(each_stream)
async def an_empty_account_is_no_trouble(bench: Bench, stream: str) -> None:
    """No records, and a cursor to go on from."""
    with type(bench)(empty=True) as empty:
        copy = Copy(stream)
        await empty.sync(copy)
        assert copy.records == {}
        assert copy.cursor is not None
        await empty.sync(copy)


@check(each_stream)
async def a_load_that_is_killed_after_every_page_ends_complete(bench: Bench, stream: str) -> None:
    """Each run stores one page and dies. Nothing is lost, nothing comes twice."""
    copy, met = Copy(stream), []
    for _ in range(_MOST_RUNS):
        pages = await bench.sync(copy, pages=1, concurrency=3)
        met += copy.met
        if pages[-1].refresh_done or copy.records.keys() == bench.ids(stream):
            break
    assert copy.records.keys() == bench.ids(stream)
    assert len(met) == len(set(met)), "a record came twice"


@check(each_stream)
async def a_page_that_was_not_stored_comes_again(bench: Bench, stream: str) -> None:
    """Each run is killed between its second page and the commit: only the first is stored."""
    copy = Copy(stream)
    for _ in range(_MOST_RUNS):
        unstored = Copy(stream, dict(copy.records), dict(copy.gone), copy.cursor)
        pages = await bench.sync(unstored, pages=2, concurrency=3)
        copy.add(pages[0])
        if pages[0].refresh_done or copy.records.keys() == bench.ids(stream):
            break
    assert copy.records.keys() == bench.ids(stream)


@check(each_edited("update"))
async def changes_during_a_load_come_afterwards(bench: Bench, stream: str) -> None:
    """What was read already and changes, is deleted or created while the rest is read, is right in the end."""
    copy = Copy(stream)
    await bench.sync(copy, pages=2, concurrency=1)
    first, second, *_ = sorted(copy.records)
    bench.provider.clock.advance(seconds=30)
    changed = bench.edit("update", stream, first)
    before = copy.records[changed]
    if stream in bench.streams("delete"):
        bench.edit("delete", stream, second)
    if stream in bench.streams("create"):
        bench.edit("create", stream, None)
    await bench.sync(copy)
    await bench.settled(copy)
    assert copy.records.keys() == bench.ids(stream)
    assert copy.records[changed] != before, "the change that was made meanwhile is missing"


@check(each_edited("create"))
async def a_created_record_comes_with_the_next_pull(bench: Bench, stream: str) -> None:
    """One that is new since the last pull."""
    copy = await bench.loaded(stream)
    made = bench.edit("create", stream, None)
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert made in copy.met
    assert copy.records.keys() == bench.ids(stream)


@check(each_edited("update"))
async def an_updated_record_comes_with_the_next_pull(bench: Bench, stream: str) -> None:
    """As it is now; and a pull reads what changed, not everything once more, where the system can say it."""
    copy = await bench.loaded(stream)
    record_id = min(copy.records)
    before = copy.records[record_id]
    bench.edit("update", stream, record_id)
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert copy.records[record_id] != before
    assert copy.records.keys() == bench.ids(stream)
    is_whole = stream in bench.whole
    assert is_whole or len(set(copy.met)) < len(copy.records), "everything was read again for one change"


@check(each_edited("delete"))
async def a_deleted_record_becomes_a_tombstone(bench: Bench, stream: str) -> None:
    """By an incremental pull, with a time that is not in the future."""
    copy = await bench.loaded(stream)
    gone = bench.edit("delete", stream, min(copy.records))
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert gone in copy.gone
    assert copy.gone[gone] <= bench.now()
    assert copy.records.keys() == bench.ids(stream)


@check(each_stream)
async def an_incremental_load_that_is_killed_after_every_page_ends_complete(
    bench: Bench, stream: str
) -> None:
    """The same for what changed: updates, deletes and creates of some pages, in runs of one page each."""
    copy = await bench.loaded(stream)
    others = [name for name in bench.streams("create") if name != stream]
    for name in [stream] if stream in bench.streams("create") else others[:1]:
        for _ in range(130):
            bench.edit("create", name, None)
    bench.provider.clock.advance(seconds=60)
    for _ in range(_MOST_RUNS):
        await bench.sync(copy, pages=1)
        if copy.records.keys() == bench.ids(stream):
            break
    assert copy.records.keys() == bench.ids(stream)


@check(each_edited("update"))
async def fetch_brings_each_id_once_as_record_or_tombstone(bench: Bench, stream: str) -> None:
    """Known ids, one that was deleted, and one that is asked for twice."""
    *known, last = sorted(bench.ids(stream))
    asked = [*known[:120], known[0]]
    gone = set()
    if stream in bench.streams("delete"):
        asked.append(bench.edit("delete", stream, last))
        gone = {last}
    found, tombstones = [], []
    async with bench.open() as adapter:
        async for page in adapter.fetch(stream, asked):
            assert page.cursor is None, "a page that was fetched moves no cursor"
            found += [record.source_id for record in page.records]
            # What was merged into a record may come with it, though nobody asked for it.
            tombstones += [stone.source_id for stone in page.tombstones if stone.merged_into is None]
    assert sorted(map(str, found)) == sorted(set(known[:120]))
    assert (len(tombstones), set(tombstones)) == (len(gone), gone)
