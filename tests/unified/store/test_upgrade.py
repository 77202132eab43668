"""A database of an earlier revision, with rows in it, comes to this release with all that it holds."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from unified.store.database import APP_ROLE, OWNER_ROLE, Database, beside
from unified.store.migrate import ConnectorEntry, ensure_database, migrate
from unified.store.migrations import FOLDER

ENTRY = ConnectorEntry("stripe", "Stripe", ("READ",), ("customers", "invoices", "events"))


@pytest.fixture
def at_0001(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of a database at revision 0001; the roles were made with the template."""
    name = f"test_0001_{uuid4().hex[:8]}"
    url = beside(server_url, name)
    ensure_database(url)
    with psycopg.connect(url) as conn:
        conn.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER_ROLE}".encode())
        conn.execute(f"SET ROLE {OWNER_ROLE}".encode())
        conn.execute((FOLDER / "versions" / "0001_initial.sql").read_bytes())
        conn.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        conn.execute("INSERT INTO alembic_version VALUES ('0001')")
        conn.execute("INSERT INTO connectors VALUES ('stripe', 'Stripe', '{READ}', '{customers}')")
        conn.execute("CALL create_source_partitions('stripe')")
    yield url
    with psycopg.connect(beside(server_url, "postgres"), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def fill(url: str, workspace: UUID) -> dict[str, UUID]:
    """Rows such as revision 0001 took them, in two workspaces, a webhook with its secret among them."""
    ids = {name: uuid4() for name in ("connection", "key", "secret", "api_key", "webhook", "bare")}
    values = {**ids, "workspace": workspace}
    with psycopg.connect(url) as conn:
        conn.execute(f"SET ROLE {APP_ROLE}".encode())
        conn.execute("SELECT set_config('app.workspace_id', %s, true)", (str(workspace),))
        for statement in (
            "INSERT INTO workspaces (id, slug, name) VALUES (%(workspace)s, left(%(workspace)s::text, 8), 'W')",
            """
            INSERT INTO connector_configs (id, workspace_id, connector, name)
            VALUES (%(connection)s, %(workspace)s, 'stripe', 'main')
            """,
            """
            INSERT INTO workspace_keys (id, workspace_id, wrapped_key, master_key_id)
            VALUES (%(key)s, %(workspace)s, 'k', 'm')
            """,
            """
            INSERT INTO connector_credentials
                (id, workspace_id, connector_config_id, kind, field, ciphertext, data_key_id)
            VALUES (%(secret)s, %(workspace)s, %(connection)s, 'api_key', 'signing', 'c', %(key)s),
                (%(api_key)s, %(workspace)s, %(connection)s, 'api_key', 'api_key', 'c', %(key)s)
            """,
            """
            INSERT INTO webhook_configs
                (id, workspace_id, connector_config_id, endpoint_path, secret_credential_id, event_types)
            VALUES (%(webhook)s, %(workspace)s, %(connection)s, %(webhook)s::text, %(secret)s, '{invoice.paid}'),
                (%(bare)s, %(workspace)s, %(connection)s, %(bare)s::text, NULL, '{}')
            """,
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, source_id, unified_id,
                schema_version, content_hash, observed_at, synced_at, is_active)
            VALUES (%(workspace)s, %(connection)s, 'stripe', 'cus_1', gen_random_uuid(), '1.1.0', 1, now(), now(), true)
            """,
        ):
            conn.execute(statement.encode(), values)
    return ids


async def test_from_0001_with_rows(at_0001: str) -> None:
    workspaces = [uuid4(), uuid4()]
    filled = [fill(at_0001, workspace) for workspace in workspaces]

    assert migrate(at_0001, [ENTRY]) == ["0002", "0003", "0004", "0005", "0006"]
    assert migrate(at_0001, [ENTRY]) == []

    with psycopg.connect(at_0001) as admin:
        for ids in filled:
            endpoints = admin.execute(
                "SELECT id, verifier, event_types, is_active FROM webhook_configs WHERE connector_config_id = %s",
                (ids["connection"],),
            ).fetchall()
            assert sorted(endpoints) == sorted(
                [(ids["webhook"], "stripe", ["invoice.paid"], True), (ids["bare"], "stripe", [], True)]
            )
            secrets = admin.execute(
                "SELECT id, webhook_config_id FROM connector_credentials WHERE connector_config_id = %s",
                (ids["connection"],),
            ).fetchall()
            assert dict(secrets) == {ids["secret"]: ids["webhook"], ids["api_key"]: None}
        unforced = admin.execute(
            """
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
                AND NOT relforcerowsecurity
            """
        ).fetchall()
        assert unforced == []
    async with Database.open(at_0001) as database:
        for workspace in workspaces:
            async with database.workspace(workspace) as conn:
                result = await conn.execute("SELECT source_id FROM unified_customers")
                assert await result.fetchall() == [("cus_1",)]
