"""What the API shows page by page: each entry comes once, and another workspace's never."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from tests.streams import key_of
from tests.unified.store.inbox.rows import T0, add_connection, event, received
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox import backlog, dead_letters
from unified.store.inbox import events as inbox
from unified.store.inbox.dead_letters import DeadLetter, Failure
from unified.store.inbox.events import StoredEvent
from unified.store.lists.declared import LISTS
from unified.store.lists.pages import Place, Wanted, in_order_of_changes, start
from unified.store.records import history, rejects

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def pages(read: Callable[[Any], Awaitable[list[Any]]], place: Callable[[Any], Any]) -> list[Any]:
    """All entries, page by page."""
    found: list[Any] = []
    while page := await read(place(found[-1]) if found else None):
        found += page
    return found


async def test_history_pages_meet_without_gap_even_within_one_instant(database: Database) -> None:
    connection = await add_connection(database)
    stranger = await add_connection(database, "other", connection.workspace_id)
    for stream in ("customers", "invoices", "events"):
        await history.begin(database, key_of(connection, stream), "full")
    await history.begin(database, key_of(stranger, "customers"), "full")
    async with database.workspace(connection.workspace_id) as conn:
        await conn.execute("UPDATE sync_history SET started_at = %s", (NOW,))
        found = await pages(
            lambda before: history.recent(conn, connection.id, before=before, limit=2),
            lambda run: (run.started_at, run.id),
        )
    assert sorted(run.stream for run in found) == ["customers", "events", "invoices"]
    assert len({run.id for run in found}) == 3


async def add_reject(
    conn: AsyncConnection[Any], connection: ConnectionSummary, stream: str, key: str
) -> None:
    await conn.execute(
        """
        INSERT INTO rejects (workspace_id, connector_config_id, stream, record_key, raw, error, observed_at)
        VALUES (%s, %s, %s, %s, %s, 'no', now())
        """,
        (connection.workspace_id, connection.id, stream, key, b"{}"),
    )


async def test_rejects_of_all_streams_come_once_each_and_raw_only_when_asked_for(database: Database) -> None:
    connection = await add_connection(database)
    wanted = [("customers", "a"), ("customers", "b"), ("invoices", "a"), ("invoices", "b"), ("invoices", "c")]
    async with database.workspace(connection.workspace_id) as conn:
        for stream, key in reversed(wanted):
            await add_reject(conn, connection, stream, key)
        found = await pages(
            lambda after: rejects.listed(conn, connection.id, after=after, limit=2),
            lambda reject: (reject.stream, reject.key),
        )
        (one,) = await rejects.listed(conn, connection.id, stream="customers", with_raw=True, limit=1)
    assert [(reject.stream, reject.key) for reject in found] == wanted
    assert {reject.raw for reject in found} == {None}
    assert one.raw == b"{}"


async def fail(db: Database, connection: ConnectionSummary, *keys: str) -> None:
    failures = [
        Failure(StoredEvent(event(key), T0 + timedelta(minutes=number // 2)), "no", is_final=True)
        for number, key in enumerate(keys)
    ]
    async with db.workspace(connection.workspace_id) as conn:
        await dead_letters.keep(conn, connection, failures, NOW)


async def test_dead_letters_of_a_workspace_come_once_each(database: Database) -> None:
    first = await add_connection(database)
    second = await add_connection(database, "second", first.workspace_id)
    stranger = await add_connection(database, "stranger")
    await fail(database, first, "a", "b", "c")
    await fail(database, second, "a", "b")
    await fail(database, stranger, "z")
    async with database.workspace(first.workspace_id) as conn:

        async def read(before: Any, connection_id: UUID | None = None) -> list[DeadLetter]:
            return await dead_letters.page(conn, connection_id=connection_id, before=before, limit=2)

        found = await pages(read, lambda one: (one.received_at, one.connection_id, one.id))
        assert len(await dead_letters.page(conn, connection_id=first.id, state="dead")) == 3
        assert await dead_letters.page(conn, state="waiting") == []
    assert sorted((one.connection_id, one.event_key) for one in found) == sorted(
        [*((first.id, key) for key in "abc"), *((second.id, key) for key in "ab")]
    )
    assert [one.received_at for one in found] == sorted((one.received_at for one in found), reverse=True)


async def test_dead_letters_are_replayed_by_id(database: Database) -> None:
    connection = await add_connection(database)
    await fail(database, connection, "a", "b")
    letters = {one.event_key: one for one in await dead_letters.letters(database, connection)}
    assert await dead_letters.replay(database, connection, NOW, ids=[letters["b"].id]) == 1
    (waiting,) = await dead_letters.letters(database, connection, "waiting")
    assert waiting.event_key == "b"


async def test_what_waits_is_seen_inside_its_workspace_only(database: Database) -> None:
    ours, theirs = await add_connection(database), await add_connection(database, "other")
    await inbox.append(database, [*received(ours, "a", "b"), *received(theirs, "c")])
    async with database.workspace(ours.workspace_id) as conn:
        (waiting,) = await backlog.waiting_in(conn, NOW)
    assert (waiting.connection.key, waiting.events) == (ours.key, 2)


async def test_what_waits_is_counted_without_reading_what_was_applied(database: Database) -> None:
    connection = await add_connection(database)
    await inbox.append(database, received(connection, *(f"evt_{number}" for number in range(500))))
    async with database.workspace(connection.workspace_id) as conn:
        await conn.execute(
            """
            INSERT INTO inbox_cursors (workspace_id, connection_id, xid, id)
            SELECT workspace_id, connection_id, xid, id FROM webhook_inbox ORDER BY xid DESC, id DESC OFFSET 1 LIMIT 1
            """
        )
    async with database.owner() as conn:
        await conn.execute("ANALYZE webhook_inbox")
    async with database.workspace(connection.workspace_id) as conn:
        await conn.execute("SET LOCAL enable_seqscan = off")  # so few are cheaper to read all
        before = await _rows_read(conn)
        (waiting,) = await backlog.waiting_in(conn, NOW)
        assert (waiting.events, await _rows_read(conn) - before) == (1, 1)


async def _rows_read(conn: AsyncConnection[Any]) -> int:
    """Of the inbox, by this transaction."""
    result = await conn.execute(
        """
        SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables
        WHERE relname LIKE 'webhook_inbox%'
        """
    )
    (count,) = await result.fetchone() or (0,)
    return int(count)


async def test_a_look_up_leaves_the_next_page_to_the_index_of_its_order(database: Database) -> None:
    connection = await add_connection(database)
    async with database.workspace(connection.workspace_id) as conn:
        before = (await start(conn)).horizon
        wanted = Wanted(fields=("source_id",), values={"customer_id": ["cus_1"]})
        await in_order_of_changes(
            conn, LISTS["invoices"], wanted, after=Place.at("0"), before=before, limit=1
        )
        assert await (await conn.execute("SHOW enable_sort")).fetchone() == ("off",)
