"""The inbox: nothing lost, nothing twice, in an order that no late commit can spoil."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection

from tests.unified.store.inbox.rows import add_connection, event, keys_of, read, received, settle
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.errors import BusyError
from unified.store.inbox import backlog, progress
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.store.inbox.progress import Inbox, Trouble
from unified.store.positions import BEGINNING
from unified.store.server.roles import INGRESS_ROLE

ROOT = Path(__file__).parents[4]
HOUR = timedelta(hours=1)


@pytest.fixture
async def connection(database: Database) -> ConnectionSummary:
    return await add_connection(database)


async def test_events_come_back_as_they_were_received(
    database: Database, connection: ConnectionSummary
) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=5)
    sent = [
        ReceivedEvent("evt_1", "customer.created", datetime(2026, 1, 2, tzinfo=UTC), b'{"a": "\xff\x00"}'),
        ReceivedEvent("evt_ü", "made.up", None, b""),
    ]
    rows = [Received(connection.workspace_id, connection.id, one) for one in sent]
    assert await inbox.append(database, rows) == 2
    stored = await read(database, connection)
    assert [one.event for one in stored] == sent
    assert all(begun < one.received_at < begun + HOUR for one in stored)


async def test_an_event_is_stored_once_however_often_it_comes(
    database: Database, connection: ConnectionSummary
) -> None:
    assert await inbox.append(database, received(connection, "a", "b", "a")) == 2
    assert await inbox.append(database, received(connection, "b", "c")) == 1
    assert await inbox.append(database, []) == 0
    assert sorted(keys_of(await read(database, connection))) == ["a", "b", "c"]


async def test_keys_are_a_connections_own_and_of_any_length(
    database: Database, connection: ConnectionSummary
) -> None:
    other = await add_connection(database, "other")
    twin = await add_connection(database, "twin", connection.workspace_id)
    long = "ключ" * 500
    rows = [*received(connection, "a", long), *received(other, "a"), *received(twin, "a")]
    assert await inbox.append(database, rows) == 4
    assert await inbox.append(database, rows) == 0
    assert sorted(keys_of(await read(database, connection))) == ["a", long]
    assert keys_of(await read(database, other)) == keys_of(await read(database, twin)) == ["a"]
    # Not even by asking for it.
    async with database.workspace(other.workspace_id) as conn:
        assert await inbox.read(conn, connection, BEGINNING, limit=9, most_bytes=9) == []


async def test_one_that_cannot_be_stored_leaves_nothing_of_its_batch(
    database: Database, connection: ConnectionSummary
) -> None:
    with pytest.raises(psycopg.DataError):
        await inbox.append(database, received(connection, "good", "b\0d"))
    assert await read(database, connection) == []
    assert await inbox.append(database, received(connection, "good")) == 1


async def test_reading_is_bounded_by_number_and_size(
    database: Database, connection: ConnectionSummary
) -> None:
    rows = [
        Received(connection.workspace_id, connection.id, event(f"e{n}", body=b"x" * 1000)) for n in range(5)
    ]
    for row in rows:
        await inbox.append(database, [row])
    first = await read(database, connection, limit=2)
    assert keys_of(first) == ["e0", "e1"]
    after = await settle(database, connection, BEGINNING, first)
    assert keys_of(await read(database, connection, after, most_bytes=1500)) == ["e2", "e3"]
    assert keys_of(await read(database, connection, after, most_bytes=1)) == ["e2"]


@asynccontextmanager
async def open_writer(url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction of the ingress, which stays open."""
    async with await AsyncConnection.connect(url) as conn:
        await conn.execute(f"SET ROLE {INGRESS_ROLE}".encode())
        yield conn


async def test_a_late_commit_is_not_passed_over(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    """A takes its number and stays open, B takes the next one and commits: who remembers B's never sees A."""
    insert = """
        INSERT INTO webhook_inbox (workspace_id, connection_id, event_key, event_type, body)
        VALUES (%s, %s, %s, 't', '{}')
    """
    naive = "SELECT id, event_key FROM webhook_inbox WHERE id > %s ORDER BY id"
    await inbox.append(database, received(connection, "before"))
    async with open_writer(database_url) as late, database.workspace(connection.workspace_id) as reader:
        await late.execute(insert, (connection.workspace_id, connection.id, "A"))
        await inbox.append(database, received(connection, "B"))

        seen = await (await reader.execute(naive, (0,))).fetchall()
        ours = await read(database, connection)
        after = await settle(database, connection, BEGINNING, ours)
        await late.commit()

        seen += await (await reader.execute(naive, (seen[-1][0],))).fetchall()
        ours += await read(database, connection, after)
    assert [key for _, key in seen] == ["before", "B"]  # the trap: A is lost
    assert sorted(keys_of(ours)) == ["A", "B", "before"]


async def test_two_drains_can_not_both_move_a_cursor(
    database: Database, connection: ConnectionSummary
) -> None:
    await inbox.append(database, received(connection, "a"))
    await inbox.append(database, received(connection, "b"))
    a, b = await read(database, connection)
    after = await settle(database, connection, BEGINNING, [a])
    with pytest.raises(BusyError, match="of-main/main"):
        await settle(database, connection, BEGINNING, [a, b])
    async with database.workspace(connection.workspace_id) as conn:
        assert await progress.load(conn, connection) == Inbox(after)
    assert keys_of(await read(database, connection, after)) == ["b"]


async def test_what_waits_is_told_by_connection_without_a_body(
    database: Database, connection: ConnectionSummary
) -> None:
    other = await add_connection(database, "other")
    await add_connection(database, "idle")
    await inbox.append(database, received(other, "o"))
    await inbox.append(database, received(connection, "a", "b", "c"))
    now = datetime.now(UTC)
    found = await backlog.waiting(database, "stripe", now)
    assert [(one.connection.key, one.events, one.letters) for one in found] == [
        ("of-other/other", 1, 0),
        ("of-main/main", 3, 0),
    ]
    assert all(one.is_due(now) for one in found)
    oldest = found[0].oldest_at
    assert oldest is not None
    assert now - HOUR < oldest < now + HOUR
    assert await backlog.waiting(database, "hubspot", now) == []
    assert await backlog.waiting(database, "stripe", now, received_since=now + HOUR) == []

    events = await read(database, connection)
    after = await settle(database, connection, BEGINNING, events[:2])
    trouble = Trouble("the key is revoked", 3, now, now + HOUR)
    async with database.workspace(connection.workspace_id) as conn:
        await progress.settle(conn, connection, after, after, trouble)
    (_, ours) = await backlog.waiting(database, "stripe", now)
    assert (ours.events, ours.trouble) == (1, trouble)
    assert (ours.is_due(now), ours.is_due(now + HOUR)) == (False, True)
    await settle(database, connection, after, events)
    assert [one.connection.key for one in await backlog.waiting(database, "stripe", now)] == [
        "of-other/other"
    ]


async def test_a_span_of_time_is_replayed(database: Database, connection: ConnectionSummary) -> None:
    other = await add_connection(database, "other", connection.workspace_id)
    now = datetime.now(UTC)
    await inbox.append(database, [*received(connection, "a", "b"), *received(other, "o")])
    after = await settle(database, connection, BEGINNING, await read(database, connection))
    assert await read(database, connection, after) == []

    assert await inbox.replay(database, connection, now - HOUR, now + HOUR) == 2
    again = await read(database, connection, after)
    assert sorted(keys_of(again)) == ["a", "b"]
    assert await inbox.replay(database, connection, now - HOUR, now + HOUR) == 2  # not four
    assert await inbox.replay(database, connection, now + HOUR, now + 2 * HOUR) == 0


async def test_writers_of_the_same_events_do_not_lock_each_other_out(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    """Both store them in one order, whatever order they came in: the second waits and holds nothing meanwhile."""
    in_order = sorted(received(connection, "a", "b"), key=lambda row: inbox.event_hash(row.event.dedupe_key))
    insert = "INSERT INTO webhook_seen (workspace_id, connection_id, event_hash) VALUES (%s, %s, %s)"
    blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    first, second = (
        (row.workspace_id, row.connection_id, inbox.event_hash(row.event.dedupe_key)) for row in in_order
    )
    async with (
        open_writer(database_url) as other,
        await AsyncConnection.connect(database_url, autocommit=True) as monitor,
    ):
        await other.execute(insert, first)
        appending = asyncio.create_task(inbox.append(database, in_order[::-1]))
        while not (await monitor.execute(blocked)).rowcount:
            assert not appending.done()
        await other.execute(insert, second)
        await other.commit()
    assert await appending == 0


WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from uuid import UUID
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.inbox import events
from unified.store.database import Database
from unified.store.inbox.events import Received

async def write(url, workspace, connection, name):
    async with Database.open(url) as database:
        for number in range(10**9):
            keys = [f"{name}-{number}-{part}" for part in range(5)]
            await events.append(database, [
                Received(workspace, connection, ReceivedEvent(key, "t", None, b"{}")) for key in keys
            ])
            print(*keys, flush=True)

asyncio.run(write(sys.argv[2], UUID(sys.argv[3]), UUID(sys.argv[4]), sys.argv[5]))
"""


async def test_what_a_killed_writer_acknowledged_is_stored_once_and_read_once(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    """Writers are killed at random while a reader follows; both halves of each promise are counted."""
    rng = random.Random(7)  # noqa: S311 - a seeded choice of moments
    acknowledged: list[str] = []
    read_keys: list[str] = []
    position = BEGINNING

    async def life(name: str) -> None:
        ids = (str(connection.workspace_id), str(connection.id))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(ROOT), database_url, *ids, name, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        for _ in range(rng.randint(1, 40)):
            acknowledged.extend((await process.stdout.readline()).decode().split())
        process.kill()
        acknowledged.extend((await process.stdout.read()).decode().rpartition("\n")[0].split())
        await process.wait()

    async def follow() -> None:
        nonlocal position
        if events := await read(database, connection, position, limit=37):
            read_keys.extend(keys_of(events))
            position = await settle(database, connection, position, events)

    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(life(f"w{number}")) for number in range(5)]
        while not all(one.done() for one in lives):
            await follow()
            await asyncio.sleep(0)
    while await _is_behind(database, connection):
        await follow()

    assert len(acknowledged) >= 5
    assert set(acknowledged) <= set(read_keys)
    assert len(read_keys) == len(set(read_keys))
    # A group is whole or not there: it was one commit.
    assert len(read_keys) % 5 == 0


async def _is_behind(database: Database, connection: ConnectionSummary) -> bool:
    """Whether anything stored is not settled yet, behind the horizon or not."""
    async with database.workspace(connection.workspace_id) as conn:
        result = await conn.execute(
            """
            SELECT FROM webhook_inbox AS i WHERE (i.xid, i.id) > (
                SELECT xid, id FROM inbox_cursors WHERE connection_id = i.connection_id
            )
            """
        )
        return result.rowcount > 0
