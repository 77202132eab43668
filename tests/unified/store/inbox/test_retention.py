"""What is kept, for how long, and that nothing goes that was not applied."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from tests.unified.store.inbox.rows import add_connection, keys_of, read, received, settle
from unified.store import removal
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox import events as inbox
from unified.store.inbox import progress, retention
from unified.store.inbox.retention import Tended, tend
from unified.store.positions import BEGINNING

NOW = datetime.now(UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture
async def connection(database: Database) -> ConnectionSummary:
    return await add_connection(database)


async def receive(db: Database, connection: ConnectionSummary, key: str, at: datetime) -> None:
    """An event that was received at some other time."""
    async with db.workspace(connection.workspace_id) as conn:
        await conn.execute(
            """
            INSERT INTO webhook_inbox (workspace_id, connection_id, received_at, event_key, event_type, body)
            VALUES (%s, %s, %s, %s, 't', '{}')
            """,
            (connection.workspace_id, connection.id, at, key),
        )


async def drain(db: Database, connection: ConnectionSummary) -> None:
    async with db.workspace(connection.workspace_id) as conn:
        former = (await progress.load(conn, connection)).position
    await settle(db, connection, former, await read(db, connection))


def partitions(url: str) -> dict[str, int]:
    """Rows by partition."""
    with psycopg.connect(url) as conn:
        rows = conn.execute(
            "SELECT tableoid::regclass::text, count(*) FROM webhook_inbox GROUP BY 1"
        ).fetchall()
    return dict(rows)


def leaf(day: date) -> str:
    return f"webhook_inbox_{day:%Y%m%d}"


async def test_a_fresh_inbox_has_days_ahead_and_nothing_to_do(database: Database) -> None:
    assert await tend(database, NOW) == Tended()


async def test_days_are_made_ahead(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    later = NOW + 2 * DAY
    assert await tend(database, later) == Tended(made=(TODAY + 4 * DAY, TODAY + 5 * DAY))
    await receive(database, connection, "late", NOW + 5 * DAY)
    assert partitions(database_url) == {leaf(TODAY + 5 * DAY): 1}


async def test_an_event_of_a_day_without_a_partition_is_taken_all_the_same(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    await receive(database, connection, "early", NOW + 5 * DAY)
    assert partitions(database_url) == {"webhook_inbox_other": 1}
    # That day stays there; the others get their own.
    assert (await tend(database, NOW + 2 * DAY)).made == (TODAY + 4 * DAY,)
    await receive(database, connection, "again", NOW + 5 * DAY)
    assert partitions(database_url) == {"webhook_inbox_other": 2}
    assert keys_of(await read(database, connection)) == ["early", "again"]


async def test_old_days_go_once_they_are_applied(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    other = await add_connection(database, "other")
    await inbox.append(database, [*received(connection, "a"), *received(other, "o")])
    then = NOW + 20 * DAY
    await drain(database, connection)

    first = await tend(database, then)

    assert first.held == (TODAY,)  # for the other one's sake
    assert first.dropped == (TODAY + DAY, TODAY + 2 * DAY, TODAY + 3 * DAY)
    assert keys_of(await read(database, other)) == ["o"]
    await drain(database, other)
    assert (await tend(database, then)).dropped == (TODAY,)
    assert partitions(database_url) == {}
    assert await tend(database, then) == Tended()


async def test_a_removed_connection_holds_nothing(database: Database, connection: ConnectionSummary) -> None:
    await inbox.append(database, received(connection, "a"))
    await removal.remove_connection(database, connection.workspace_id, connection.id)
    await inbox.append(database, received(connection, "raced"))
    assert TODAY in (await tend(database, NOW + 20 * DAY)).dropped


async def test_what_is_old_and_has_no_day_of_its_own_is_deleted_once_applied(
    database: Database, database_url: str, connection: ConnectionSummary
) -> None:
    await receive(database, connection, "applied", NOW - 30 * DAY)
    await receive(database, connection, "young", NOW - 10 * DAY)
    await drain(database, connection)
    await receive(database, connection, "waits", NOW - 30 * DAY)
    assert (await tend(database, NOW + DAY)).events == 1
    assert sorted(keys_of(await read(database, connection, BEGINNING))) == ["waits", "young"]


async def test_keys_letters_and_gone_identities_are_forgotten_in_their_time(
    database: Database, connection: ConnectionSummary
) -> None:
    ids = (connection.workspace_id, connection.id)
    ages = {"replayed": (20, 31), "dead": (80, 91), "waiting": (500,)}
    async with database.workspace(connection.workspace_id) as conn:
        for days in (20, 29):
            await conn.execute(
                "INSERT INTO webhook_seen VALUES (%s, %s, gen_random_uuid(), %s)", (*ids, NOW - days * DAY)
            )
        for days in (29, 31):
            await conn.execute(
                "INSERT INTO gone_identities VALUES (%s, gen_random_uuid(), %s)",
                (connection.workspace_id, NOW - days * DAY),
            )
        for state, days in ((state, age) for state, aged in ages.items() for age in aged):
            await conn.execute(
                """
                INSERT INTO webhook_dead_letters (workspace_id, connection_id, event_hash, event_key, event_type,
                    received_at, body, state, attempts, error, first_failed_at, next_attempt_at, updated_at)
                VALUES (%s, %s, gen_random_uuid(), 'k', 't', %s, '{}', %s, 1, 'no', %s, %s, %s)
                """,
                (*ids, NOW, state, NOW, NOW if state == "waiting" else None, NOW - days * DAY),
            )
    done = await tend(database, NOW + timedelta(hours=30))  # makes a day, and so does the rest
    assert (done.keys, done.letters, done.identities) == (1, 2, 1)
    async with database.workspace(connection.workspace_id) as conn:
        result = await conn.execute("SELECT state FROM webhook_dead_letters ORDER BY state")
        assert [state for (state,) in await result.fetchall()] == ["dead", "replayed", "waiting"]


async def test_it_gives_way_to_readers_and_to_its_like(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT", "50ms")
    then = NOW + 20 * DAY
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT 1 FROM webhook_inbox")
        assert (await tend(database, then)).dropped == ()
    async with database.exclusive("inbox/tend"):
        assert await tend(database, then) == Tended()
    assert len((await tend(database, then)).dropped) == 4
