"""A process killed inside a commit: rows, rejects and cursor are as before, and the next one goes on."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from unified.schema import UnifiedCustomer
from unified.store.database import Database
from unified.store.records import cursors
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.tables import StreamKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[4]

WRITER = """
import asyncio, sys
from uuid import UUID
sys.path.insert(0, sys.argv[1])
from tests.unified.store.records.test_kill import write
from unified.schema.entities import CUSTOMERS
from unified.store.records.tables import StreamKey
key = StreamKey(UUID(sys.argv[3]), UUID(sys.argv[4]), "stripe", CUSTOMERS, "customers")
asyncio.run(write(sys.argv[2], key, "second"))
"""


def customers(name: str) -> list[Row]:
    return [
        Row.of(
            UnifiedCustomer(
                source_system="stripe",
                source_id=f"c{number}",
                unified_id=uuid4(),
                observed_at=NOW,
                synced_at=NOW,
                name=name,
            ),
            b"{}",
            len(name),
        )
        for number in range(50)
    ]


async def write(url: str, key: StreamKey, name: str) -> None:
    """Commit fifty customers of that name, holding the stream's lease, with a cursor of that name."""
    async with Database.open(url) as database, database.exclusive("lease") as held:
        assert held
        batch = Batch(observed_at=NOW, rows=customers(name), cursor={"at": name})
        await batches.commit(database, key, batch)


@pytest.fixture
def locker(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to hold locks on."""
    with psycopg.connect(database_url) as connection:
        yield connection


async def test_sigkill_after_the_merge_and_before_the_commit(
    database: Database, database_url: str, stream: StreamKey, locker: psycopg.Connection
) -> None:
    await write(database_url, stream, "first")
    # The victim merges its rows and then waits for the cursor's row, which is locked here.
    locker.execute("SELECT 1 FROM cursors FOR UPDATE")
    ids = (str(stream.workspace_id), str(stream.connection_id))
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(ROOT), database_url, *ids)
    while not _waits_for_a_lock(locker):
        assert victim.returncode is None, "the victim ended by itself"
        await asyncio.sleep(0.02)
    async with database.exclusive("lease") as held:
        assert not held
    victim.kill()
    await victim.wait()
    locker.rollback()

    assert await _state(database, stream) == ({"first"}, {"at": "first"})
    # The server notices that its client is gone; then the lease is free and the next writer goes on.
    while True:
        async with database.exclusive("lease") as held:
            if held:
                break
        await asyncio.sleep(0.02)
    await write(database_url, stream, "second")
    assert await _state(database, stream) == ({"second"}, {"at": "second"})


def _waits_for_a_lock(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO cursors%'"
        " AND datname = current_database()"
    ).fetchone()
    # A statement of one transaction would otherwise see the same activity for ever.
    connection.execute("SELECT pg_stat_clear_snapshot()")
    return row == (1,)


async def _state(database: Database, key: StreamKey) -> tuple[set[str], object]:
    async with database.workspace(key.workspace_id) as connection:
        result = await connection.execute("SELECT name FROM unified_customers")
        names = {name for (name,) in await result.fetchall()}
    cursor = await cursors.load(database, key)
    return names, cursor.cursor if cursor else None
