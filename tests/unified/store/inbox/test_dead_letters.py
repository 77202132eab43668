"""Dead letters: when they are tried again, when they are given up, and how they come back."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.unified.store.inbox.rows import T0, add_connection, event, keys_of
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox import backlog, dead_letters, progress
from unified.store.inbox.dead_letters import DeadLetter, Failure
from unified.store.inbox.events import StoredEvent

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def connection(database: Database) -> ConnectionSummary:
    return await add_connection(database)


def stored(key: str) -> StoredEvent:
    return StoredEvent(event(key, body=b'{"id": 1}'), T0)


async def fail(
    db: Database, connection: ConnectionSummary, now: datetime, *events: StoredEvent, is_final: bool = False
) -> None:
    failures = [Failure(one, f"no {one.event.dedupe_key}", is_final) for one in events]
    async with db.workspace(connection.workspace_id) as conn:
        await dead_letters.keep(conn, connection, failures, now)


async def due(db: Database, connection: ConnectionSummary, now: datetime) -> list[StoredEvent]:
    async with db.workspace(connection.workspace_id) as conn:
        return await dead_letters.due(conn, connection, now, 100)


async def only(db: Database, connection: ConnectionSummary) -> DeadLetter:
    (letter,) = await dead_letters.letters(db, connection)
    return letter


def test_waiting_doubles_up_to_an_hour() -> None:
    minutes = [progress.retry_after(attempts) // MINUTE for attempts in (1, 2, 3, 6, 7, 8, 1000)]
    assert minutes == [1, 2, 4, 32, 60, 60, 60]


async def test_a_failed_event_is_tried_again_until_a_day_is_over(
    database: Database, connection: ConnectionSummary
) -> None:
    now = NOW
    await fail(database, connection, now, stored("a"))
    attempts = 1
    while (letter := await only(database, connection)).state == "waiting":
        assert letter.attempts == attempts
        assert letter.next_attempt_at == now + progress.retry_after(attempts)
        assert await due(database, connection, letter.next_attempt_at - MINUTE / 2) == []
        assert [one.connection for one in await backlog.waiting(database, "stripe", now)] == []
        now = letter.next_attempt_at
        (again,) = await due(database, connection, now)
        assert (again.event, again.received_at, again.attempts) == (
            event("a", body=b'{"id": 1}'),
            T0,
            attempts,
        )
        (waiting,) = await backlog.waiting(database, "stripe", now)
        assert (waiting.events, waiting.letters, waiting.is_due(now)) == (0, 1, True)
        await fail(database, connection, now, again)
        attempts += 1
    assert NOW + timedelta(hours=24) <= now < NOW + timedelta(hours=25)
    assert (letter.state, letter.next_attempt_at, letter.error) == ("dead", None, "no a")
    assert letter.first_failed_at == NOW
    assert await due(database, connection, now + 1000 * HOUR) == []


async def test_what_can_never_be_applied_is_dead_at_once(
    database: Database, connection: ConnectionSummary
) -> None:
    await fail(database, connection, NOW, stored("a"), is_final=True)
    assert (await only(database, connection)).state == "dead"


async def test_what_was_applied_in_the_end_is_told_so(
    database: Database, connection: ConnectionSummary
) -> None:
    await fail(database, connection, NOW, stored("a"), stored("b"))
    async with database.workspace(connection.workspace_id) as conn:
        await dead_letters.solve(conn, connection, [stored("a"), stored("never failed")])
        await dead_letters.solve(conn, connection, [])
    (a,) = await dead_letters.letters(database, connection, "replayed")
    assert (a.event_key, a.error, a.next_attempt_at) == ("a", "no a", None)
    assert keys_of(await due(database, connection, NOW + HOUR)) == ["b"]
    assert await dead_letters.counts(database, connection) == {"waiting": 1, "replayed": 1}


async def test_replay_gives_another_day(database: Database, connection: ConnectionSummary) -> None:
    await fail(database, connection, NOW, stored("a"), stored("b"), is_final=True)
    await fail(database, connection, NOW, stored("done"))
    async with database.workspace(connection.workspace_id) as conn:
        await dead_letters.solve(conn, connection, [stored("done")])
    later = NOW + 100 * HOUR

    assert await dead_letters.replay(database, connection, later, ["a", "unknown"]) == 1
    (a,) = await due(database, connection, later)
    assert (a.event.dedupe_key, a.attempts, a.first_failed_at) == ("a", 0, later)
    await fail(database, connection, later, a)
    (letter,) = await dead_letters.letters(database, connection, "waiting")
    assert (letter.event_key, letter.attempts) == ("a", 1)

    assert await dead_letters.replay(database, connection, later) == 2
    assert sorted(keys_of(await due(database, connection, later))) == ["a", "b"]


async def test_letters_are_a_connections_own(database: Database, connection: ConnectionSummary) -> None:
    twin = await add_connection(database, "twin", connection.workspace_id)
    other = await add_connection(database, "other")
    await fail(database, connection, NOW, stored("a"))
    for neighbour in (twin, other):
        assert await dead_letters.letters(database, neighbour) == []
        assert await dead_letters.replay(database, neighbour, NOW, ["a"]) == 0
        assert await due(database, neighbour, NOW + HOUR) == []
