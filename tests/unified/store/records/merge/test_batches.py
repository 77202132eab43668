"""One commit of a sync: what is counted, what wins, and that it is all or nothing."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, sql

from tests.records import read
from unified.schema import UnifiedCustomer
from unified.schema.entities import CUSTOMERS, EVENTS
from unified.store.database import Database
from unified.store.errors import RecordError
from unified.store.records import cursors, history, rejects, suppressions, tables
from unified.store.records.merge import batches, comparing
from unified.store.records.merge.contents import Batch, Confirmed, MergeCounts, Reject, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def customer(source_id: str, name: str, minute: float, **fields: Any) -> UnifiedCustomer:
    return UnifiedCustomer(
        source_system="stripe",
        source_id=source_id,
        unified_id=uuid4(),
        observed_at=at(minute),
        synced_at=at(minute),
        name=name,
        **fields,
    )


def row(source_id: str, name: str, minute: float, **fields: Any) -> Row:
    raw = json.dumps({"id": source_id, "name": name}).encode()
    return Row.of(customer(source_id, name, minute, **fields), raw, hash(name) >> 1)


def batch(*items: Row | Confirmed | Deletion | Reject, minute: float = 100, **rest: Any) -> Batch:
    def of(kind: type) -> Sequence[Any]:
        return [item for item in items if isinstance(item, kind)]

    return Batch(
        observed_at=at(minute),
        rows=of(Row),
        confirmed=of(Confirmed),
        deletions=of(Deletion),
        rejects=of(Reject),
        **rest,
    )


async def stored(database: Database, key: StreamKey) -> dict[str, tuple[str | None, bool]]:
    """Name and whether it is alive, by source id, tombstones included."""
    async with database.workspace(key.workspace_id) as connection:
        query = sql.SQL("SELECT source_id, name, deleted_at IS NULL FROM {} WHERE connection_id = %s")
        result = await connection.execute(query.format(key.leaf), (key.connection_id,))
        return {source_id: (name, alive) for source_id, name, alive in await result.fetchall()}


@pytest.mark.parametrize("is_new", [False, True])
async def test_new_changed_known_and_rejected_records_are_counted(
    database: Database, stream: StreamKey, *, is_new: bool
) -> None:
    found = batch(row("a", "Ann", 1), row("b", "Bob", 1), is_new=is_new)
    first = await batches.commit(database, stream, found)
    assert first == MergeCounts(inserted=2)

    bad = Reject("d", b"{", "no", at(2))
    again = batch(row("a", "Ann", 2), row("b", "Bill", 2), row("c", "Cy", 2), bad, is_new=is_new)
    second = await batches.commit(database, stream, again)

    assert second == MergeCounts(inserted=1, updated=1, unchanged=1, rejected=1)
    assert second.read == 4
    assert await stored(database, stream) == {"a": ("Ann", True), "b": ("Bill", True), "c": ("Cy", True)}


async def test_a_batch_with_several_states_of_a_record_stores_the_newest(
    database: Database, stream: StreamKey
) -> None:
    counts = await batches.commit(
        database, stream, batch(row("a", "old", 1), row("a", "newest", 3), row("a", "middle", 2))
    )
    assert counts == MergeCounts(inserted=1, unchanged=2)
    assert await stored(database, stream) == {"a": ("newest", True)}


Step = Callable[[str], Row | Confirmed | Deletion]
STORIES: dict[str, tuple[list[Step], tuple[str, bool]]] = {
    "the last state wins": (
        [lambda a: row(a, "x", 1), lambda a: row(a, "y", 2), lambda a: row(a, "z", 3)],
        ("z", True),
    ),
    "there and back": (
        [lambda a: row(a, "x", 1), lambda a: row(a, "y", 2), lambda a: row(a, "x", 3)],
        ("x", True),
    ),
    "deleted and revived": (
        [lambda a: row(a, "x", 1), lambda a: Deletion(a, at(2), at(2)), lambda a: row(a, "x", 3)],
        ("x", True),
    ),
    "deleted, revived and deleted": (
        [lambda a: Deletion(a, at(2), at(2)), lambda a: row(a, "x", 3), lambda a: Deletion(a, at(4), at(4))],
        ("x", False),
    ),
    "known as deleted ever later": (
        [lambda a: row(a, "x", 1), lambda a: Deletion(a, at(2), at(2)), lambda a: Deletion(a, at(2), at(4))],
        ("x", False),
    ),
}


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("story", STORIES)
async def test_order_of_arrival_does_not_matter(
    database: Database, stream: StreamKey, story: str, *, is_new: bool
) -> None:
    steps, (name, is_alive) = STORIES[story]
    for number, order in enumerate(permutations(steps)):
        for step in order:
            await batches.commit(database, stream, batch(step(str(number)), is_new=is_new))
    ends = (await stored(database, stream)).values()
    assert len(ends) == 6
    # A tombstone whose record came too late never had its content.
    assert set(ends) <= {(name, is_alive)} | ({(None, False)} if not is_alive else set())


async def test_a_confirmed_record_is_not_replaced_by_an_older_state(
    database: Database, stream: StreamKey
) -> None:
    known = row("a", "x", 1)
    await batches.commit(database, stream, batch(known))
    counts = await batches.commit(database, stream, batch(Confirmed("a", known.content_hash, at(3))))
    assert counts == MergeCounts(unchanged=1)
    late = await batches.commit(database, stream, batch(row("a", "y", 2)))
    assert late == MergeCounts(unchanged=1)
    assert await stored(database, stream) == {"a": ("x", True)}


async def test_a_finished_refresh_confirms_what_it_met(database: Database, stream: StreamKey) -> None:
    known = row("a", "x", 1)
    await batches.commit(database, stream, batch(known))
    refresh = batch(
        Confirmed("a", known.content_hash, at(5)), cursor={}, refresh_started_at=at(4), refresh_done=True
    )
    await batches.commit(database, stream, refresh)
    assert await batches.commit(database, stream, batch(row("a", "y", 3))) == MergeCounts(unchanged=1)
    assert await batches.commit(database, stream, batch(row("a", "z", 6))) == MergeCounts(updated=1)


async def test_a_deletion_counts_only_records_that_were_alive(database: Database, stream: StreamKey) -> None:
    await batches.commit(database, stream, batch(row("a", "x", 1)))
    gone = batch(Deletion("a", at(2), at(2)), Deletion("unknown", at(2), at(2)))
    assert await batches.commit(database, stream, gone) == MergeCounts(deleted=1)
    assert await batches.commit(database, stream, gone) == MergeCounts()
    async with database.workspace(stream.workspace_id) as connection:
        assert [r.source_id async for r in read(connection, stream)] == []
        assert [r.source_id async for r in read(connection, stream, with_deleted=True)] == ["a"]


async def test_events_are_never_deleted(database: Database, stream: StreamKey) -> None:
    events = StreamKey(stream.workspace_id, stream.connection_id, "stripe", EVENTS, "events")
    with pytest.raises(ValueError, match="log"):
        await batches.commit(database, events, batch(Deletion("a", at(1), at(1))))


async def test_a_refresh_over_several_batches_deletes_what_it_never_met(
    database: Database, stream: StreamKey
) -> None:
    before = [row(name, name, 1) for name in ("kept", "changed", "rejected", "gone")]
    await batches.commit(database, stream, batch(*before))
    begun: dict[str, Any] = {"refresh_started_at": at(10)}
    abandoned: dict[str, Any] = {"refresh_started_at": at(5)}

    await batches.commit(
        database, stream, batch(row("gone", "seen by a refresh that was given up", 6), **abandoned)
    )
    await batches.commit(database, stream, batch(Confirmed("kept", before[0].content_hash, at(11)), **begun))
    await batches.commit(database, stream, batch(row("changed", "new", 11), **begun))
    # Created meanwhile, and known from a webhook only.
    await batches.commit(database, stream, batch(row("newcomer", "n", 11)))
    end = await batches.commit(
        database,
        stream,
        batch(Reject("rejected", b"{}", "no", at(12)), cursor={"x": 1}, refresh_done=True, **begun),
    )

    assert end == MergeCounts(rejected=1, deleted=1)
    alive = {source_id for source_id, (_, is_alive) in (await stored(database, stream)).items() if is_alive}
    assert alive == {"kept", "changed", "rejected", "newcomer"}
    cursor = await cursors.load(database, stream)
    assert cursor is not None
    assert (cursor.cursor, cursor.refreshed_at) == ({"x": 1}, at(10))
    async with database.workspace(stream.workspace_id) as connection:
        result = await connection.execute("SELECT count(*) FROM refresh_seen")
        assert await result.fetchone() == (0,)


async def test_a_refresh_of_events_deletes_none(database: Database, stream: StreamKey) -> None:
    events = StreamKey(stream.workspace_id, stream.connection_id, "stripe", EVENTS, "events")
    end = batch(cursor={}, refresh_started_at=at(10), refresh_done=True)
    assert await batches.commit(database, events, end) == MergeCounts()


async def test_rejects_are_kept_once_and_leave_when_they_map(database: Database, stream: StreamKey) -> None:
    nameless = Reject(None, b"not json \x00\xff", "no id", at(1))
    await batches.commit(database, stream, batch(nameless, nameless, Reject("a", b"{}", "bad\0", at(1))))
    await batches.commit(database, stream, batch(Reject("a", b'{"v":2}', "still bad", at(2))))
    async with database.workspace(stream.workspace_id) as connection:
        kept = await rejects.read(connection, stream)
        assert [(reject.source_id, reject.raw, reject.error) for reject in kept] == [
            ("a", b'{"v":2}', "still bad"),
            (None, b"not json \x00\xff", "no id"),
        ]
        assert await rejects.read(connection, stream, after="a", limit=1) == kept[1:]

    await batches.commit(database, stream, batch(row("a", "mapped", 3)))
    async with database.workspace(stream.workspace_id) as connection:
        assert [reject.source_id for reject in await rejects.read(connection, stream)] == [None]


async def test_known_hashes_leave_out_what_is_deleted_or_of_another_schema(
    database: Database, stream: StreamKey
) -> None:
    live, dead, old = row("live", "l", 1), row("dead", "d", 1), row("old", "o", 1)
    await batches.commit(database, stream, batch(live, dead, old))
    await batches.commit(database, stream, batch(Deletion("dead", at(2), at(2))))
    async with database.workspace(stream.workspace_id) as connection:
        await connection.execute(
            "UPDATE unified_customers SET schema_version = '1.0.0' WHERE source_id = 'old'"
        )
        known = await comparing.known_hashes(connection, stream, ["live", "dead", "old", "never"])
    assert known == {"live": live.content_hash}


async def test_raw_records_come_back_byte_for_byte_to_be_mapped_again(
    database: Database, stream: StreamKey
) -> None:
    raw = b'{ "id":"b", "text": "\\u0000 \xc3\xa9",  "n": 1.10 }'
    first, second = row("a", "x", 1), Row.of(customer("b", "x", 1), raw, 5)
    await batches.commit(database, stream, batch(first, second, row("c", "x", 1)))
    await batches.commit(database, stream, batch(Deletion("c", at(2), at(2))))
    async with database.workspace(stream.workspace_id) as connection:
        chunk = await tables.read_raw(connection, stream, limit=1)
        rest = await tables.read_raw(connection, stream, after=chunk[-1].source_id)
    assert [(r.source_id, r.body, r.observed_at) for r in chunk + rest] == [
        ("a", first.raw, at(1)),
        ("b", raw, at(1)),
    ]
    # The same state mapped anew: as old as what is stored, older than the last refresh, and still written.
    await batches.commit(database, stream, batch(cursor={}, refresh_started_at=at(0.5), refresh_done=True))
    remapped = Row.of(customer("b", "mapped anew", 1), raw, 6)
    assert await batches.commit(database, stream, batch(remapped)) == MergeCounts(updated=1)


async def test_a_record_reads_back_as_it_was_stored(database: Database, stream: StreamKey) -> None:
    full = customer(
        "a",
        "Ännä \U0001f600",
        1,
        created_at=at(-5),
        tags=("x", 'y,{"\\'),
        custom_fields={"deep": [{"n": None}]},
        emails=("a@example.com",),
        billing_address={"city": "Zürich", "country": "CH"},
        kind="person",
        livemode=False,
    )
    await batches.commit(database, stream, batch(Row.of(full, b'{"id": "a"}', 1)))
    async with database.workspace(stream.workspace_id) as connection:
        (found,) = [record async for record in read(connection, stream)]
    assert found == full.model_copy(update={"raw_data": {"id": "a"}})


async def test_a_row_of_the_first_schema_reads_as_todays_model(database: Database, stream: StreamKey) -> None:
    await batches.commit(database, stream, batch(row("a", "x", 1, email="a@example.com")))
    async with database.workspace(stream.workspace_id) as connection:
        await connection.execute("UPDATE unified_customers SET schema_version = '1.0.0', emails = '{}'")
        (found,) = [record async for record in read(connection, stream)]
    assert isinstance(found, UnifiedCustomer)
    assert found.emails == ("a@example.com",)


@pytest.mark.parametrize(
    ("bad", "column"),
    [
        ({"phone": "nul \0 here"}, "phone"),
        ({"custom_fields": {"k": "nul \0 here"}}, "custom_fields"),
        ({"phone": "\ud800"}, None),
        ({"tax_number": "nul \0 here"}, "tax_number"),
        ({"emails": ("a@example.com", "nul \0 here")}, "emails"),
    ],
)
async def test_a_value_that_cannot_be_stored_names_record_and_column_and_stores_nothing(
    database: Database,
    stream: StreamKey,
    bad: dict[str, Any],
    column: str | None,
) -> None:
    async def store() -> None:
        refused = Row.of(customer("b", "x", 1).model_copy(update=bad), b"{}", 1)
        rows = [row("a", "x", 1), refused, row("c", "x", 1)]
        await batches.commit(database, stream, batch(*rows, cursor={"moved": True}))

    with pytest.raises(RecordError) as caught:
        await store()
    assert (caught.value.source_id, caught.value.column) == ("b", column)
    assert "here" not in str(caught.value)
    assert await stored(database, stream) == {}
    assert await cursors.load(database, stream) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "COPY staging_unified_customers, line 1, column phone",
        "COPY staging_unified_customers, Zeile 2, Spalte name",
        "COPY staging_unified_customers, ligne 2, colonne name",
        "staging_unified_customersのCOPY、行2、列name",
        "",
    ],
)
async def test_a_value_is_named_in_whatever_language_the_server_speaks(
    database: Database, stream: StreamKey, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The embedded server speaks English alone: this is where others say that the COPY failed (lc_messages).
    monkeypatch.setattr(psycopg.errors.Diagnostic, "context", property(lambda _: sentence))
    with pytest.raises(RecordError) as caught:
        await batches.commit(database, stream, batch(row("a", "x", 1), row("b", "nul \0", 1)))
    assert (caught.value.source_id, caught.value.column) == ("b", "name")


@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_one_bad_record_is_found_among_any_number(
    database: Database, stream: StreamKey, count: int, place: str
) -> None:
    bad = {"first": 0, "middle": count // 2, "last": count - 1}[place]
    rows = [row(f"{number:04}", "nul \0" if number == bad else "x", 1) for number in range(count)]
    with pytest.raises(RecordError) as caught:
        await batches.commit(database, stream, batch(*rows))
    assert (caught.value.source_id, caught.value.column) == (f"{bad:04}", "name")


def test_no_sentence_of_postgresql_is_read() -> None:
    """What it says is in the server's language; what it means is in codes, names and fields."""
    sentence = r"(diag\.(message_\w+|context)|\bstr\(error\)|\berror\.args)"
    reading = re.compile(
        rf"{sentence}[^\n]*\.(startswith|endswith|find|index|r?partition|match|search)\(|diag\.context"
        rf"|(\bin|==|!=) {sentence}|(match|search|findall|fullmatch)\({sentence}"
    )
    for folder in ("unified/store", "unified/sync", "unified/api", "resources", "sensors", "unified_assets"):
        for file in Path(folder).rglob("*.py"):
            assert not reading.search(file.read_text()), file


async def test_no_statement_of_a_commit_is_compiled(database: Database, stream: StreamKey) -> None:
    async with database.workspace(stream.workspace_id) as connection:
        await connection.execute("SET LOCAL jit = on")
        await batches.merge(connection, stream, batch(row("1", "Ada", 0)))
        assert await (await connection.execute("SHOW jit")).fetchone() == ("off",)


async def test_history_adds_up_over_batches(database: Database, stream: StreamKey) -> None:
    entry = await history.begin(database, stream, "full", "run-1")
    await batches.commit(
        database, stream, batch(row("a", "x", 1), Reject("b", b"", "no", at(1)), history_id=entry)
    )
    await batches.commit(database, stream, batch(row("a", "y", 2), row("c", "y", 2), history_id=entry))
    await history.finish(database, stream, entry, is_complete=True, requests=7)
    async with database.workspace(stream.workspace_id) as connection:
        (run,) = await history.recent(connection, stream.connection_id)
    assert (run.records_read, run.inserted, run.updated, run.rejected) == (4, 2, 1, 1)
    assert (run.is_complete, run.requests, run.mode, run.run_id) == (True, 7, "full", "run-1")


async def test_staging_keeps_nothing_for_the_next_workspace(
    database_url: str, add_two: tuple[StreamKey, ...]
) -> None:
    async with Database.open(database_url, max_connections=1) as database:
        ours, theirs = add_two
        await batches.commit(database, ours, batch(row("a", "ours", 1)))
        with pytest.raises(RecordError):
            await batches.commit(database, ours, batch(row("b", "ours\0", 1)))
        async with database.workspace(theirs.workspace_id) as connection:
            assert await _staged(connection) == 0
        await batches.commit(database, theirs, batch(row("c", "theirs", 1)))
        assert await stored(database, theirs) == {"c": ("theirs", True)}


@pytest.fixture
async def add_two(add_workspace: Any, add_connection: Any) -> tuple[StreamKey, ...]:
    """The customers of two workspaces."""
    keys = []
    for slug in ("ours", "theirs"):
        workspace_id: UUID = await add_workspace(slug)
        keys.append(
            StreamKey(workspace_id, await add_connection(workspace_id), "stripe", CUSTOMERS, "customers")
        )
    return tuple(keys)


async def _staged(connection: AsyncConnection[Any]) -> int:
    result = await connection.execute("SELECT count(*) FROM pg_temp.staging_unified_customers")
    (count,) = await result.fetchone() or (-1,)
    return int(count)


async def test_a_commit_that_waited_for_a_deletion_knows_of_it(database: Database, stream: StreamKey) -> None:
    async with database.workspace(stream.workspace_id) as deleting:
        await deleting.execute("SELECT FROM connector_configs FOR UPDATE")
        await suppressions.add(
            deleting, stream.workspace_id, stream.connection_id, stream.stream, ["gone"], actor="test"
        )
        late = await _waiting(database, batches.commit(database, stream, batch(row("gone", "x", 1))))
    assert (await late).suppressed == 1


async def test_new_rows_are_merged_with_what_another_commit_stored_meanwhile(
    database: Database, stream: StreamKey
) -> None:
    new = batch(row("a", "older", 1), row("b", "Bob", 1), is_new=True)
    async with database.workspace(stream.workspace_id) as first:
        await batches.merge(first, stream, batch(row("a", "newer", 2), is_new=True))
        second = await _waiting(database, batches.commit(database, stream, new))
    assert await second == MergeCounts(inserted=1, unchanged=1)
    assert await stored(database, stream) == {"a": ("newer", True), "b": ("Bob", True)}


async def _waiting(
    database: Database, committing: Coroutine[Any, Any, MergeCounts]
) -> asyncio.Task[MergeCounts]:
    """A commit that waits for another transaction by now."""
    blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    task = asyncio.create_task(committing)
    with closing(psycopg.connect(database.url, autocommit=True)) as monitor:
        while not monitor.execute(blocked).rowcount:
            assert not task.done()
            await asyncio.sleep(0.02)
    return task
