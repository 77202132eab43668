import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.streams import key_of
from unified.kit.mapping.rules import Rule
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store import removal
from unified.store.connections import field_rules
from unified.store.connections.registry import MAX_ERROR_LENGTH, Registry, presentable
from unified.store.connections.rows import Connection, ConnectionNotFoundError, UnknownConnectorError
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.store.records import history
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import Workspace, WorkspaceNotFoundError

HOUR = timedelta(hours=1)


@pytest.fixture
def registry(database: Database) -> Registry:
    return Registry(database)


@pytest.fixture
async def acme(registry: Registry, database: Database) -> Workspace:
    return await workspaces.create(database, "acme", "Acme Ltd")


@pytest.fixture
async def connection(registry: Registry, acme: Workspace) -> Connection:
    return await registry.add_connection(acme.id, "stripe", "main", {"retry_count": 3})


@pytest.fixture
def superuser(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


# Workspaces -------------------------------------------------------------------------------------------------


async def test_workspaces_are_found_by_slug(registry: Registry, acme: Workspace, database: Database) -> None:
    zeta = await workspaces.create(database, "zeta")
    assert zeta.name == "zeta"
    assert acme.name == "Acme Ltd"
    assert await workspaces.listed(database) == [acme, zeta]
    assert await workspaces.find(database, "zeta") == zeta
    with pytest.raises(WorkspaceNotFoundError, match="there is no workspace 'globex'"):
        await workspaces.find(database, "globex")


async def test_a_slug_is_taken_once(registry: Registry, acme: Workspace, database: Database) -> None:
    with pytest.raises(DuplicateNameError, match="there is a workspace 'acme' already"):
        await workspaces.create(database, "acme")
    assert await workspaces.listed(database) == [acme]


@pytest.mark.parametrize("slug", ["", "Acme", "a/b", "-a", "a-", "ä", "a" * 64, "a b"])
async def test_what_is_no_slug_is_refused(
    slug: str, registry: Registry, acme: Workspace, database: Database
) -> None:
    with pytest.raises(InvalidSettingError, match="lower-case letters"):
        await workspaces.create(database, slug)
    with pytest.raises(InvalidSettingError, match="lower-case letters"):
        await registry.add_connection(acme.id, "stripe", slug)


# Connections ------------------------------------------------------------------------------------------------


async def test_a_connection_is_what_was_added(
    registry: Registry, acme: Workspace, connection: Connection
) -> None:
    assert (connection.key, connection.connector, connection.workspace_id) == ("acme/main", "stripe", acme.id)
    assert connection.settings == {"retry_count": 3}
    assert (connection.is_active, connection.sync_interval, connection.sync_status) == (True, HOUR, "idle")
    assert (connection.sync_started_at, connection.last_sync_at, connection.error_message) == (
        None,
        None,
        None,
    )
    assert await registry.find("acme/main") == connection
    assert await registry.get_connection(acme.id, connection.id) == connection
    assert await registry.connections(acme.id) == [connection]


@pytest.mark.parametrize("key", ["acme/other", "globex/main", "acme", "main", "", "acme/main/", "acme//main"])
async def test_an_unknown_key(key: str, registry: Registry, connection: Connection) -> None:
    with pytest.raises(ConnectionNotFoundError, match="`unified connections list`"):
        await registry.find(key)


async def test_names_are_unique_in_a_workspace_only(
    registry: Registry, connection: Connection, database: Database
) -> None:
    globex = await workspaces.create(database, "globex")
    other = await registry.add_connection(globex.id, "hubspot", "main")
    with pytest.raises(DuplicateNameError, match="there is a connection 'main' already"):
        await registry.add_connection(globex.id, "stripe", "main")
    everyone = await registry.all_connections()
    assert [each.key for each in everyone] == ["acme/main", "globex/main"]
    assert not any(isinstance(each, Connection) for each in everyone), "the scheduler sees no settings"
    assert await registry.connections(globex.id) == [other]


async def test_what_can_not_be_added(
    registry: Registry, acme: Workspace, superuser: psycopg.Connection[Any]
) -> None:
    superuser.execute("UPDATE connectors SET is_enabled = false WHERE name = 'hubspot'")
    for connector in ("salesforce", "hubspot", ""):
        with pytest.raises(UnknownConnectorError, match="use one of: stripe"):
            await registry.add_connection(acme.id, connector, "main")
    with pytest.raises(WorkspaceNotFoundError):
        await registry.add_connection(uuid4(), "stripe", "main")
    for interval in (timedelta(0), timedelta(seconds=90), timedelta(days=32), -HOUR):
        with pytest.raises(InvalidSettingError, match="1 minute to 31 days"):
            await registry.add_connection(acme.id, "stripe", "main", sync_interval=interval)
    with pytest.raises(TypeError):
        await registry.add_connection(acme.id, "stripe", "main", {"api_key": Secret("sk_test_fake_1")})
    assert await registry.all_connections() == []


async def test_an_update_changes_only_what_is_given(registry: Registry, connection: Connection) -> None:
    where = (connection.workspace_id, connection.id)
    paused = await registry.update_connection(*where, is_active=False)
    same = {"updated_at": connection.updated_at, "version": connection.version}
    assert replace(paused, is_active=True, **same) == connection
    assert paused.version == connection.version + 1
    changed = await registry.update_connection(*where, name="renamed", settings={}, sync_interval=2 * HOUR)
    assert (changed.key, changed.settings, changed.sync_interval) == ("acme/renamed", {}, 2 * HOUR)
    assert not changed.is_active
    await registry.add_connection(connection.workspace_id, "stripe", "main")
    with pytest.raises(DuplicateNameError):
        await registry.update_connection(*where, name="main")
    with pytest.raises(ConnectionNotFoundError):
        await registry.update_connection(connection.workspace_id, uuid4(), is_active=True)


# Removal ----------------------------------------------------------------------------------------------------


async def bring(database: Database, connection: Connection, source_id: str) -> None:
    async with database.workspace(connection.workspace_id) as conn:
        await bring_customer(conn, connection, source_id)


async def bring_customer(conn: psycopg.AsyncConnection[Any], connection: Connection, source_id: str) -> None:
    """What a batch does: a record, and the cursor with it."""
    where = (connection.workspace_id, connection.id)
    await conn.execute(
        """
        INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
            schema_version, content_hash, observed_at, synced_at, is_active)
        VALUES (%s, %s, %s, 'customers', %s, gen_random_uuid(), '1.1.0', 0, now(), now(), true)
        """,
        (*where, connection.connector, source_id),
    )
    await conn.execute(
        """
        INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at)
        VALUES (%s, %s, 'customers', '{}', now())
        ON CONFLICT (workspace_id, connector_config_id, stream) DO UPDATE SET updated_at = now()
        """,
        where,
    )


async def furnish(database: Database, connection: Connection) -> None:
    """A connection with what hangs on it."""
    store = CredentialStore(database, LocalKeyProvider([generate_key()]))
    where = (connection.workspace_id, connection.id)
    await store.put(*where, "api_key", {"api_key": Secret("sk_test_fake_1")})
    await bring(database, connection, "cus_1")
    await field_rules.put(database, connection, "customers", Rule(source="metadata.vat", target="tax_number"))
    async with database.workspace(connection.workspace_id) as conn:
        await conn.execute(
            """
            INSERT INTO webhook_configs
                (workspace_id, connector_config_id, endpoint_path, verifier)
            SELECT workspace_id, connector_config_id, gen_random_uuid()::text, 'stripe' FROM connector_credentials
            """
        )
    event = ReceivedEvent("evt_1", "customer.updated", None, b"{}")
    await inbox.append(database, [Received(connection.workspace_id, connection.id, event)])


def rows_of(superuser: psycopg.Connection[Any], column: str, value: UUID) -> dict[str, int]:
    """Rows with that value, by table, of all tables that have the column."""
    tables = superuser.execute(
        "SELECT relname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
        "WHERE attname = %s AND relkind IN ('r', 'p') AND NOT relispartition",
        (column,),
    ).fetchall()
    counts = {}
    for (table,) in tables:
        query = f"SELECT count(*) FROM {table} WHERE {column} = %s"  # noqa: S608
        row = superuser.execute(query.encode(), (value,)).fetchone()
        counts[table] = row[0] if row else 0
    return {table: count for table, count in counts.items() if count}


async def test_a_removed_connection_leaves_nothing_and_takes_nothing_else(
    registry: Registry, connection: Connection, database: Database, superuser: psycopg.Connection[Any]
) -> None:
    kept = await registry.add_connection(connection.workspace_id, "stripe", "kept")
    await furnish(database, connection)
    await bring(database, kept, "cus_1")
    assert len(rows_of(superuser, "connector_config_id", connection.id)) == 4
    await removal.remove_connection(database, connection.workspace_id, connection.id)
    for column in ("connector_config_id", "connection_id"):
        assert rows_of(superuser, column, connection.id) == {}
        assert rows_of(superuser, column, kept.id)
    assert await registry.connections(kept.workspace_id) == [kept]
    with pytest.raises(ConnectionNotFoundError):
        await removal.remove_connection(database, connection.workspace_id, connection.id)


async def test_a_connection_is_removed_in_its_own_workspace_only(
    registry: Registry, connection: Connection, database: Database
) -> None:
    globex = await workspaces.create(database, "globex")
    with pytest.raises(ConnectionNotFoundError):
        await removal.remove_connection(database, globex.id, connection.id)
    assert await registry.find("acme/main") == connection


@pytest.mark.parametrize("is_first_batch", [True, False])
async def test_a_batch_under_way_leaves_no_orphans(
    *,
    is_first_batch: bool,
    registry: Registry,
    connection: Connection,
    database: Database,
    superuser: psycopg.Connection[Any],
) -> None:
    if not is_first_batch:
        await bring(database, connection, "cus_1")
    async with database.workspace(connection.workspace_id) as conn:
        await bring_customer(conn, connection, "cus_2")
        removing = asyncio.create_task(
            removal.remove_connection(database, connection.workspace_id, connection.id)
        )
        blocked = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while not superuser.execute(blocked).fetchone():
            assert not removing.done()
            await asyncio.sleep(0.01)
    await removing
    assert rows_of(superuser, "connection_id", connection.id) == {}
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await bring(database, connection, "cus_3")
    assert rows_of(superuser, "connection_id", connection.id) == {}


async def test_a_deleted_workspace_leaves_nothing_and_takes_nothing_else(
    registry: Registry, connection: Connection, database: Database, superuser: psycopg.Connection[Any]
) -> None:
    globex = await workspaces.create(database, "globex")
    other = await registry.add_connection(globex.id, "stripe", "main")
    await furnish(database, connection)
    await furnish(database, other)
    assert "audit_log" in rows_of(superuser, "workspace_id", connection.workspace_id)
    kept = rows_of(superuser, "workspace_id", globex.id)
    await removal.delete_workspace(database, connection.workspace_id)
    assert rows_of(superuser, "workspace_id", connection.workspace_id) == {}
    assert rows_of(superuser, "workspace_id", globex.id) == kept
    assert await workspaces.listed(database) == [globex]
    with pytest.raises(WorkspaceNotFoundError):
        await removal.delete_workspace(database, connection.workspace_id)


# Sync state -------------------------------------------------------------------------------------------------


async def test_the_state_follows_the_sync(
    registry: Registry, database: Database, connection: Connection
) -> None:
    where = (connection.workspace_id, connection.id)

    async def sync(stream: str, error: str | None = None, mode: history.Mode = "incremental") -> Connection:
        key = key_of(connection, stream)
        entry = await history.begin(database, key, mode)
        await registry.begin_sync(*where)
        assert (await registry.get_connection(*where)).error_message is None
        await history.finish(database, key, entry, is_complete=error is None, error=error)
        await registry.finish_sync(*where)
        return await registry.get_connection(*where)

    await registry.begin_sync(*where)
    syncing = await registry.get_connection(*where)
    assert (syncing.sync_status, syncing.last_sync_at, syncing.error_message) == ("syncing", None, None)
    assert syncing.sync_started_at is not None
    done = await sync("customers")
    assert (done.sync_status, done.error_message) == ("success", None)
    assert done.last_sync_at is not None
    assert done.sync_started_at is not None
    assert done.last_sync_at > done.sync_started_at > syncing.sync_started_at

    failed = await sync("customers", "Stripe does not accept the key")
    assert (failed.sync_status, failed.error_message) == ("error", "Stripe does not accept the key")
    assert failed.last_sync_at == done.last_sync_at
    # Neither a remap nor another stream's success hides it; a newer failure does.
    await sync("customers", mode="remap")
    still = await sync("events")
    assert (still.sync_status, still.error_message) == ("error", "Stripe does not accept the key")
    assert still.last_sync_at == done.last_sync_at
    assert (await sync("invoices", "Stripe is down")).error_message == "Stripe is down"
    assert (await sync("customers")).error_message == "Stripe is down"
    recovered = await sync("invoices")
    assert (recovered.sync_status, recovered.error_message) == ("success", None)

    for call in (registry.begin_sync, registry.finish_sync):
        with pytest.raises(ConnectionNotFoundError):
            await call(connection.workspace_id, uuid4())


def test_a_kept_error_is_bounded_and_never_empty() -> None:
    assert presentable("x" * 5000) == "x" * MAX_ERROR_LENGTH
    assert presentable(" ") == "unknown error"
    assert presentable("a\x00b \ud800") == "a\ufffdb ?", "PostgreSQL holds neither"


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("two\nlines", "two lines"),
        ("Illegal header value b'Bearer fake-token.1'", "Illegal header value b'Bearer ********'"),
        ("no such key: sk_test_fake_12345678.", "no such key: ********."),
        ("token pat-na1-fake-1234 is expired", "token ******** is expired"),
        ("cannot reach https://me:fake-pw@example.com/v1", "cannot reach https://********@example.com/v1"),
        ("customer cus_123456789 has no email", "customer cus_123456789 has no email"),
    ],
)
def test_what_looks_like_a_credential_is_masked(message: str, kept: str) -> None:
    assert presentable(message) == kept
