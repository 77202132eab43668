"""Counts by connector: of one workspace, of the span asked for, of live records."""

from datetime import UTC, datetime, timedelta

from tests.streams import key_of
from tests.unified.store.inbox.rows import add_connection
from tests.unified.store.records.merge.test_batches import batch, row
from unified.store.connections import statistics
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.records import history
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def sync(
    db: Database, connection: ConnectionSummary, work: Batch | None, error: str | None = None
) -> None:
    key = key_of(connection, "customers")
    entry = await history.begin(db, key, "full")
    if work:
        await batches.commit(db, key, work)
    await history.finish(db, key, entry, is_complete=not error, error=error)
    await Registry(db).finish_sync(connection.workspace_id, connection.id)


async def test_statistics_add_up_by_connector_and_stay_inside_the_workspace(database: Database) -> None:
    good = await add_connection(database)
    bad = await add_connection(database, "bad", good.workspace_id)
    hubspot = await Registry(database).add_connection(good.workspace_id, "hubspot", "crm", is_active=False)
    await sync(database, await add_connection(database, "stranger"), batch(row("z", "z", 1)))
    await sync(database, good, batch(row("a", "x", 1), row("b", "y", 1)))
    await sync(database, bad, None, "the key is wrong")
    await sync(database, bad, None, "the key is still wrong")

    async with database.workspace(good.workspace_id) as conn:
        crm, stripe = await statistics.by_connector(conn, LONG_AGO)
        (one,) = await statistics.by_connector(conn, LONG_AGO, connection_id=good.id)
        later = await statistics.by_connector(conn, datetime.now(UTC) + timedelta(hours=1))
    assert (stripe.connector, stripe.connections, stripe.active, stripe.failing) == ("stripe", 2, 2, 1)
    assert (stripe.succeeded, stripe.failed, stripe.last_error) == (1, 2, "the key is still wrong")
    assert stripe.rows == {"customers": 2, "invoices": 0, "events": 0}
    assert stripe.last_sync_at is not None
    assert (crm.connector, crm.connections, crm.active, crm.succeeded) == (hubspot.connector, 1, 0, 0)
    assert (one.succeeded, one.failed, one.last_error, one.connections) == (1, 0, None, 1)
    assert [(each.succeeded, each.failed) for each in later] == [(0, 0), (0, 0)], "only what began since"
    assert later[1].last_sync_at == stripe.last_sync_at, "however long ago"


async def test_a_connection_of_another_workspace_has_no_statistics(database: Database) -> None:
    ours, theirs = await add_connection(database), await add_connection(database, "other")
    async with database.workspace(ours.workspace_id) as conn:
        assert await statistics.by_connector(conn, LONG_AGO, connection_id=theirs.id) == []
