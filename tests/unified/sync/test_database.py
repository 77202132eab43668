"""A database that goes away in mid-merge: nothing is half stored, and the next sync ends complete."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.conftest import connectors
from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source, cursors_locked, until
from unified.store.database import Database
from unified.store.errors import UnreachableError
from unified.store.migrate import migrate
from unified.store.server import embedded
from unified.sync.errors import PullError


async def changed(source: Source) -> None:
    """Load all, and change some of it at the source."""
    await source.sync()
    for number, customer in enumerate(list(source.expected())[:20]):
        source.rename(customer, f"Renamed {number}")


async def test_connections_that_break_in_mid_merge(source: Source, database_url: str) -> None:
    await changed(source)
    cursor, stored = await source.cursor(), await source.stored()
    with cursors_locked(source) as a_commit_waits:
        syncing = asyncio.create_task(source.assert_fails())
        await until(a_commit_waits, syncing.done)
        with psycopg.connect(database_url, autocommit=True) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND (wait_event_type = 'Lock' OR query LIKE '%advisory%')"
            )
        error = await syncing
    assert isinstance(error.__cause__, UnreachableError)
    assert error.retry
    assert (await source.cursor(), await source.stored()) == (cursor, stored)
    assert (await source.sync()).updated == 20
    await source.assert_agrees()


async def test_a_server_that_stops_in_mid_merge(
    source_of: MakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.store.server.pools.POOL_SECONDS", 0.5)
    url = embedded.start(tmp_path)
    try:
        migrate(url, connectors())
        async with Database.open(url) as database:
            source = await source_of("stripe", db=database)
            await changed(source)
            cursor, stored = await source.cursor(), await source.stored()
            with cursors_locked(source) as a_commit_waits:
                syncing = asyncio.create_task(source.sync())
                await until(a_commit_waits, syncing.done)
                embedded.leave(tmp_path)
                with pytest.raises(PullError, match=r"^acme/main: customers: .*PostgreSQL") as caught:
                    await syncing
            assert isinstance(caught.value.__cause__, UnreachableError)
            # Still away: the sync can't even begin, and says so in the same way.
            with pytest.raises(PullError, match=r"^acme/main: customers: .*PostgreSQL"):
                await source.sync()
        embedded.start(tmp_path)
        async with Database.open(url) as source.db:
            assert (await source.cursor(), await source.stored()) == (cursor, stored)
            assert (await source.state()).sync_status == "syncing"
            assert (await source.sync()).updated == 20
            await source.assert_agrees()
            assert (await source.state()).sync_status == "success"
    finally:
        embedded.leave(tmp_path)
