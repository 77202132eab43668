"""SIGKILL in every phase of a pull, and the lease that keeps two processes apart."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.unified.sync.forked import Victim
from tests.unified.sync.oauth import Case
from tests.unified.sync.source import Source, cursors_locked, until
from tests.unified.sync.victim import MASTER_KEY, main
from unified.store.connections.registry import Registry
from unified.store.workspaces import workspaces
from unified.sync.connection import lease
from unified.sync.errors import ConnectionBusyError


@contextmanager
def victim(source: Source | Case, stop: str | None = None, *, full: bool = False) -> Iterator[Victim]:
    """A process that syncs the source's customers; killed at the end of the block."""
    task = {
        "url": source.db.url, "connection": source.connection.key, "stream": "customers", "stop": stop, "full": full,
    }  # fmt: skip
    process = Victim(main, task, **{MASTER_KEY: source.master_key})
    try:
        yield process
    finally:
        process.kill()


async def stopped(process: Victim) -> None:
    assert await asyncio.to_thread(process.stdout.readline) == "stopped\n", "the victim ended by itself"


async def until_free(source: Source) -> None:
    """The server notices that its client is gone; then the lease is free."""
    while True:
        try:
            async with lease(source.db, source.connection, "customers"):
                return
        except ConnectionBusyError:
            await asyncio.sleep(0.02)


async def assert_recovers(source: Source) -> None:
    """After a kill: nothing is half done, and the next sync ends with what an undisturbed one would have."""
    cursor, stored = await source.cursor(), await source.stored()
    left_open = (await source.history())[0]
    assert (left_open.finished_at, left_open.is_complete) == (None, False)
    assert (await source.state()).sync_status == "syncing"
    await until_free(source)
    assert (await source.cursor(), await source.stored()) == (cursor, stored)

    result = await source.sync()

    assert result.is_complete
    await source.assert_agrees()
    assert (await source.state()).sync_status == "success"
    # Undisturbed, into another workspace: the same rows with the same content.
    registry = Registry(source.db)
    here = source.connection
    workspace = await workspaces.create(source.db, "undisturbed")
    other = await registry.add_connection(workspace.id, here.connector, "main", here.settings)
    twin = type(source)(source.db, other, source.sandbox, source.master_key)
    await twin.use_key(source.secret)
    await twin.sync()
    content = "SELECT source_id, raw_data::jsonb, email, name, deleted_at FROM {leaf} ORDER BY source_id"
    assert await source.query(content) == await twin.query(content)
    rows = await source.query("SELECT count(*), count(DISTINCT source_id) FROM {leaf}")
    assert rows == [(len(source.expected()), len(source.expected()))]


async def test_killed_while_reading(source: Source) -> None:
    await source.configure(concurrency=1)
    page = {"stripe": "/v1/customers", "hubspot": "/crm/objects/2026-09/contacts/search"}[source.connector]
    source.fault("slow", page, skip=4, seconds=3600)
    with victim(source) as process:
        ending = page.rpartition("/")[2]
        await until(lambda: source.requests_of(ending) == 5, lambda: process.poll() is not None)
    source.sandbox.faults.clear()
    await assert_recovers(source)


@pytest.mark.parametrize("point", ["mapping", "between", "end"])
async def test_killed_at(source: Source, point: str) -> None:
    with victim(source, point) as process:
        await stopped(process)
        cursor = await source.cursor()
    assert cursor is not None
    assert ("refresh" in cursor.cursor) == (point != "end")
    assert await source.stored()
    await assert_recovers(source)


async def test_killed_inside_a_commit(source: Source) -> None:
    await source.sync()
    before = await source.cursor()
    for number, customer in enumerate(list(source.expected())[:60]):
        source.rename(customer, f"Renamed {number}")
    stored = await source.stored()
    with cursors_locked(source) as a_commit_waits, victim(source, full=True) as process:
        await until(a_commit_waits, lambda: process.poll() is not None)
    assert (await source.cursor(), await source.stored()) == (before, stored)
    await assert_recovers(source)


async def test_killed_in_a_refresh_that_has_something_to_bury(source: Source) -> None:
    """The next pull still knows what the killed one met, and buries neither more nor less."""
    await source.sync()
    gone = list(source.expected())[7]
    source.change("delete_customer" if source.connector == "stripe" else "archive_contact", gone)
    with victim(source, "between", full=True) as process:
        await stopped(process)
    await until_free(source)
    result = await source.sync()
    assert (result.mode, result.deleted) == ("full", 1)
    assert await source.tombstones() == {gone}
    await source.assert_agrees()


async def test_one_process_syncs_a_stream_and_another_is_refused(stripe: Source) -> None:
    with victim(stripe, "between") as process:
        await stopped(process)
        with pytest.raises(ConnectionBusyError, match=r"acme/main: another process syncs customers"):
            await stripe.sync()
        # It failed nobody: neither the one that is at it, nor another stream.
        assert (await stripe.state()).sync_status == "syncing"
        assert (await stripe.sync("events")).is_complete
    await until_free(stripe)
    assert (await stripe.sync()).is_complete
    await stripe.assert_agrees()
