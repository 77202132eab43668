"""What connections of several workspaces have stored, in one transaction."""

from uuid import UUID

from tests.conftest import AddConnection, AddWorkspace, execute
from unified.store.connections import standing
from unified.store.connections.registry import Registry
from unified.store.connections.standing import Stored
from unified.store.database import Database

_FILL = """
    INSERT INTO unified_{table} (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, deleted_at)
    SELECT '{workspace}', '{connection}', 'stripe', '{table}', n, gen_random_uuid(), '1.0.0', n, now(), now(), true,
        CASE WHEN n = 1 THEN now() END
    FROM generate_series(1, {count}) AS n
"""


async def test_each_connection_is_counted_in_its_own_workspace(
    database: Database, database_url: str, add_workspace: AddWorkspace, add_connection: AddConnection
) -> None:
    async def add(slug: str, customers: int, invoices: int) -> UUID:
        workspace = await add_workspace(slug)
        connection = await add_connection(workspace)
        for table, count in (("customers", customers), ("invoices", invoices)):
            execute(
                database_url,
                _FILL.format(table=table, workspace=workspace, connection=connection, count=count),
            )
        execute(
            database_url,
            f"""
            INSERT INTO waiting_burials
                (workspace_id, connector_config_id, stream, refresh_started_at, missing, gone, living)
            SELECT '{workspace}', '{connection}', 'customers', now(), 1, 1, 1 WHERE {invoices} = 0
            """,
        )
        return connection

    acme, globex = await add("acme", 4, 3), await add("globex", 2, 0)
    connections = await Registry(database).all_connections()
    for _ in range(2):  # in the same session, too
        assert await standing.stored(database, connections) == {
            acme: Stored({"customers": 3, "invoices": 2, "events": 0}),
            globex: Stored({"customers": 1, "invoices": 0, "events": 0}, burials={"customers": 1}),
        }
    async with database.no_workspace() as conn:
        result = await conn.execute("SELECT count(*) FROM unified_customers")
        assert await result.fetchone() == (0,)
