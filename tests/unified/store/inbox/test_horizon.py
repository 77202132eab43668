"""Events behind the inbox's horizon are counted, and what holds it is named, wherever on the server it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import AddConnection
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.database import Database
from unified.store.doctor.examine import examine
from unified.store.inbox import backlog, horizon
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.store.inbox.horizon import HeldUp
from unified.store.records.tables import StreamKey
from unified.store.server.urls import beside


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count what was received this moment too."""
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(0))


@contextmanager
def open_writer(url: str, how: str) -> Iterator[str]:
    """A write transaction that stays open; how it is to be named."""
    if how == "prepared":
        with psycopg.connect(url, autocommit=True) as conn:
            if conn.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
                pytest.skip("the server has no prepared transactions")
            conn.execute("BEGIN")
            conn.execute("SELECT pg_current_xact_id()")
            conn.execute("PREPARE TRANSACTION 'forgotten'")
            yield "the prepared transaction forgotten"
            conn.execute("ROLLBACK PREPARED 'forgotten'")
        return
    elsewhere = beside(url, "postgres") if how == "another database" else url
    with psycopg.connect(elsewhere, application_name="forgotten") as conn:
        conn.execute("SELECT pg_current_xact_id()")
        if how == "failed":
            with pytest.raises(psycopg.errors.DivisionByZero), conn.transaction():
                conn.execute("SELECT 1 / 0")
        yield (
            f"pid {conn.info.backend_pid} (forgotten, of {conn.info.user}, in the database {conn.info.dbname})"
        )
        conn.rollback()


async def _deliver(db: Database, key: StreamKey, count: int) -> None:
    event = [ReceivedEvent(f"k{uuid4()}", "t", datetime.now(UTC), b"{}") for _ in range(count)]
    await inbox.append(db, [Received(key.workspace_id, key.connection_id, one) for one in event])


async def _held_up(db: Database, connector: str | None = None) -> HeldUp | None:
    async with db.scheduler() as conn:
        return await horizon.held_up(conn, connector)


@pytest.mark.parametrize("how", ["this database", "another database", "failed", "prepared"])
async def test_what_waits_and_for_whom(
    database: Database, database_url: str, stream: StreamKey, how: str
) -> None:
    with open_writer(database_url, how) as name:
        await _deliver(database, stream, 3)
        assert await backlog.waiting(database, "stripe", datetime.now(UTC)) == [], "none can be read"
        found = await _held_up(database)
        assert found is not None
        assert name in found.by
        held = found.connections[stream.connection_id]
        assert (held.connection, held.events) == ("acme/stripe", 3)
        assert await _held_up(database, "stripe") == found
        assert await _held_up(database, "hubspot") is None
        lines = [f"{one.level} {one.about}: {one.message}" for one in await examine(database_url)]
        assert any(
            line.startswith("wrong acme/stripe: 3 webhook event(s), the oldest of") and name in line
            for line in lines
        ), lines
    assert await _held_up(database) is None
    (waiting,) = await backlog.waiting(database, "stripe", datetime.now(UTC))
    assert waiting.events == 3


async def test_readers_hold_nothing_up(database: Database, database_url: str, stream: StreamKey) -> None:
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM workspaces")
        await _deliver(database, stream, 1)
        assert await _held_up(database) is None


async def test_events_of_this_moment_are_not_called_held_up(
    database: Database, database_url: str, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(minutes=1))
    with open_writer(database_url, "another database"):
        await _deliver(database, stream, 1)
        assert await _held_up(database) is None


async def test_each_connection_is_counted_and_no_further_than_others(
    database: Database,
    database_url: str,
    stream: StreamKey,
    add_connection: AddConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(horizon, "MOST_COUNTED", 5)
    other: UUID = await add_connection(stream.workspace_id, "hubspot")
    await _deliver(database, stream, 4)  # before: these can be read
    with open_writer(database_url, "another database"):
        await _deliver(database, stream, 7)
        await _deliver(
            database, StreamKey(stream.workspace_id, other, "hubspot", stream.entity, "customers"), 2
        )
        found = await _held_up(database)
        assert found is not None
        assert {key: one.events for key, one in found.connections.items()} == {
            stream.connection_id: 5,
            other: 2,
        }
