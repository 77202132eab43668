"""No workspace sees or changes another's rows: the catalogue, a generated matrix, and a shared pool."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, errors, sql

from store import batches
from store.batches import Batch, Deletion
from store.database import APP_ROLE, INGRESS_ROLE, OWNER_ROLE, SCHEDULER_ROLE, Database
from store.tables import TABLES, StreamKey

WORKSPACE_TABLES = """
    SELECT c.oid::regclass::text AS name, a.attname AS workspace_column
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
        AND (a.attname = 'workspace_id' OR (c.relname = 'workspaces' AND a.attname = 'id'))
    ORDER BY 1
"""
_NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Tables without a workspace, each for a reason.
SHARED_TABLES = {"connectors", "alembic_version"}
EVERY_TABLE = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""


@pytest.fixture
def admin(database_url: str) -> Any:
    """A superuser's connection, bound by no policy."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def two(database: Database, add_workspace: Any, add_connection: Any) -> tuple[UUID, UUID]:
    """Two workspaces, each with a row in every table that has a workspace."""
    workspaces = []
    for slug in ("own", "other"):
        workspace_id = await add_workspace(slug)
        connection_id = await add_connection(workspace_id)
        await _fill(database, workspace_id, connection_id)
        workspaces.append(workspace_id)
    return workspaces[0], workspaces[1]


async def _fill(database: Database, workspace_id: UUID, connection_id: UUID) -> None:
    reject = batches.Reject(None, b"{", "no", _NOW)
    for connector in ("stripe", "hubspot"):
        for stream in ("customers", "invoices"):
            key = StreamKey(workspace_id, connection_id, connector, stream)
            gone = [Deletion("x", _NOW, _NOW)]
            await batches.commit(
                database, key, Batch(observed_at=_NOW, deletions=gone, rejects=[reject], cursor={})
            )
    seen = StreamKey(workspace_id, connection_id, "stripe", "customers")
    met = batches.Confirmed("x", 1, _NOW)
    await batches.commit(database, seen, Batch(observed_at=_NOW, confirmed=[met], refresh_started_at=_NOW))
    key_id, credential_id = uuid4(), uuid4()
    mine = {"workspace_id": workspace_id}
    ours = mine | {"connector_config_id": connection_id}
    event = mine | {
        "connection_id": connection_id,
        "source_id": "e",
        "unified_id": uuid4(),
        "schema_version": "1.1.0",
        "content_hash": 1,
        "observed_at": _NOW,
        "synced_at": _NOW,
        "is_active": True,
        "event_type": "t",
        "occurred_at": _NOW,
    }
    letter = mine | {
        "connection_id": connection_id,
        "event_hash": uuid4(),
        "event_key": "k",
        "event_type": "t",
        "received_at": _NOW,
        "body": b"{}",
        "state": "dead",
        "attempts": 1,
        "error": "no",
        "first_failed_at": _NOW,
    }
    rows: list[tuple[str, dict[str, Any]]] = [
        ("workspace_keys", mine | {"id": key_id, "wrapped_key": b"k", "master_key_id": "m"}),
        (
            "connector_credentials",
            ours
            | {
                "id": credential_id,
                "kind": "api_key",
                "field": "f",
                "ciphertext": b"c",
                "data_key_id": key_id,
            },
        ),
        ("schema_mappings", ours | {"stream": "customers", "source_path": "a", "target_field": "b"}),
        ("webhook_configs", ours | {"endpoint_path": str(uuid4()), "verifier": "stripe"}),
        ("webhook_seen", mine | {"connection_id": connection_id, "event_hash": uuid4()}),
        ("inbox_cursors", mine | {"connection_id": connection_id}),
        ("webhook_dead_letters", letter),
        ("sync_history", ours | {"stream": "customers", "mode": "full"}),
        ("audit_log", mine | {"actor": "a", "action": "b", "subject": "c", "outcome": "allowed"}),
        ("unified_events", event | {"source_system": "stripe"}),
        ("unified_events", event | {"source_system": "hubspot"}),
    ]
    # A row for each partition of the inbox: those of some days, and the one for all others.
    received = mine | {"connection_id": connection_id, "event_key": "k", "event_type": "t", "body": b"{}"}
    days = [datetime.now(UTC) + timedelta(days=ahead) for ahead in range(4)]
    rows += [("webhook_inbox", received | {"received_at": day}) for day in (*days, _NOW)]
    async with database.workspace(workspace_id) as connection:
        for table, row in rows:
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(map(sql.Placeholder, row)),
            )
            await connection.execute(statement, row)


def test_every_table_with_a_workspace_is_isolated(admin: psycopg.Connection) -> None:
    tables: dict[str, str] = dict(admin.execute(WORKSPACE_TABLES).fetchall())
    assert {name for (name,) in admin.execute(EVERY_TABLE).fetchall()} - set(tables) == SHARED_TABLES
    assert len(tables) >= 20
    for name, column in tables.items():
        flags = admin.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", (name,)
        ).fetchone()
        assert flags == (True, True), name
        policies = admin.execute(
            """
            SELECT cmd, permissive, qual, with_check FROM pg_policies
            WHERE tablename = %s AND %s = ANY(roles)
            """,
            (name, APP_ROLE),
        ).fetchall()
        own = f"({column} = ( SELECT current_workspace() AS current_workspace))"
        assert policies == [("ALL", "PERMISSIVE", own, own)], name
        public = admin.execute(
            "SELECT 1 FROM pg_policies WHERE tablename = %s AND roles && ARRAY['public', %s]::name[]",
            (name, OWNER_ROLE),
        ).fetchall()
        assert not public, name


def test_the_roles_can_do_no_more_than_they_must(admin: psycopg.Connection) -> None:
    attributes = admin.execute(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles"
        " WHERE rolname = ANY(%s)",
        ([APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, OWNER_ROLE],),
    ).fetchall()
    assert attributes == [(False,) * 6] * 4
    for role in (APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE):
        assert admin.execute("SELECT 1 FROM pg_class WHERE relowner = %s::regrole", (role,)).fetchall() == []
        assert admin.execute("SELECT 1 FROM pg_proc WHERE proowner = %s::regrole", (role,)).fetchall() == []
        assert (
            admin.execute("SELECT 1 FROM pg_auth_members WHERE member = %s::regrole", (role,)).fetchall()
            == []
        )
        assert admin.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", (role,)).fetchone() == (
            False,
        )
    beyond = admin.execute(
        """
        SELECT table_name FROM information_schema.role_table_grants
        WHERE grantee = ANY(%s) AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
        """,
        ([APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE],),
    ).fetchall()
    assert beyond == []


def test_the_ingress_can_do_nothing_but_find_endpoints_and_append(admin: psycopg.Connection) -> None:
    tables = admin.execute(
        """
        SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = %s
        """,
        (INGRESS_ROLE,),
    ).fetchall()
    assert set(tables) == {("webhook_inbox", "INSERT"), ("webhook_seen", "INSERT")}
    columns = admin.execute(
        """
        SELECT table_name, array_agg(column_name::text ORDER BY column_name) FROM information_schema.role_column_grants
        WHERE grantee = %s AND privilege_type <> 'INSERT' GROUP BY table_name
        """,
        (INGRESS_ROLE,),
    ).fetchall()
    assert dict(columns) == {
        "connector_configs": ["connector", "id", "workspace_id"],
        "webhook_configs": [
            "connector_config_id",
            "endpoint_path",
            "event_types",
            "id",
            "is_active",
            "options",
            "updated_at",
            "verifier",
            "workspace_id",
        ],
        "webhook_seen": ["connection_id", "event_hash", "workspace_id"],
    }


def test_views_and_functions_lend_nobody_their_owners_rights(admin: psycopg.Connection) -> None:
    views = admin.execute(
        "SELECT relname, relkind, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('v', 'm')"
    ).fetchall()
    assert views
    for name, kind, options in views:
        assert kind == "v", name
        assert "security_invoker=true" in options, name
    definers = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    assert admin.execute(definers).fetchall() == []


async def test_matrix_of_tables_and_statements(
    database: Database, admin: psycopg.Connection, two: tuple[UUID, UUID]
) -> None:
    """For each table: own rows can be seen; others' can't be seen, changed, removed, added or taken over."""
    own, other = two
    for name, column in admin.execute(WORKSPACE_TABLES).fetchall():
        table, workspace_column = sql.SQL(name), sql.Identifier(column)
        others_before = admin.execute(
            sql.SQL("SELECT * FROM {} WHERE {} = %s").format(table, workspace_column), (other,)
        ).fetchall()
        assert others_before, f"{name} has no row to try on"
        parts = {"table": table, "column": workspace_column}
        theirs = {"own": own, "other": other}

        assert await _run(database, own, "SELECT DISTINCT {column} FROM {table}", parts) == [(own,)], name
        for statement in (
            "SELECT FROM {table} WHERE {column} = %(other)s",
            "UPDATE {table} SET {column} = {column} WHERE {column} = %(other)s RETURNING 1",
            "DELETE FROM {table} WHERE {column} = %(other)s RETURNING 1",
        ):
            assert await _run(database, own, statement, parts, theirs) in ([], "InsufficientPrivilege"), (
                name,
                statement,
            )
        # A row of one's own can't be given away, nor another's claimed.
        moved = "UPDATE {table} SET {column} = %(other)s RETURNING 1"
        assert await _run(database, own, moved, parts, theirs) == "InsufficientPrivilege", name
        copied = "INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, %(row)s) RETURNING 1"
        (stolen,) = admin.execute(
            sql.SQL("SELECT to_json(t)::text FROM {} AS t WHERE {} = %s LIMIT 1").format(
                table, workspace_column
            ),
            (other,),
        ).fetchone() or ("",)
        overriding = copied.replace("SELECT *", "OVERRIDING SYSTEM VALUE SELECT *")
        assert await _run(database, own, overriding, parts, {"row": stolen}) == "InsufficientPrivilege", name
        assert await _copy(database, own, table) in ("FeatureNotSupported", "InsufficientPrivilege"), name
        assert (
            admin.execute(
                sql.SQL("SELECT * FROM {} WHERE {} = %s").format(table, workspace_column), (other,)
            ).fetchall()
            == others_before
        ), name


@pytest.mark.parametrize("setting", ["", None, "not a uuid"])
async def test_without_a_workspace_nothing_is_there(
    database: Database, admin: psycopg.Connection, two: tuple[UUID, UUID], setting: str | None
) -> None:
    for name, column in admin.execute(WORKSPACE_TABLES).fetchall():
        for statement in (
            "SELECT 1 FROM {table}",
            "UPDATE {table} SET {column} = {column} RETURNING 1",
            "DELETE FROM {table} RETURNING 1",
        ):
            parts = {"table": sql.SQL(name), "column": sql.Identifier(column)}
            result = await _run(database, setting, statement, parts)
            assert result in ([], "InvalidTextRepresentation", "InsufficientPrivilege"), (name, statement)


async def test_scheduler_and_owner_see_no_record_and_no_secret(
    database: Database, two: tuple[UUID, UUID]
) -> None:
    async with database.scheduler() as connection:
        result = await connection.execute("SELECT count(DISTINCT workspace_id) FROM connector_configs")
        assert await result.fetchone() == (2,)
    hidden = [table.name for table in TABLES.values()]
    hidden += ["connector_credentials", "rejects", "audit_log", "webhook_configs", "schema_mappings"]
    hidden += ["webhook_inbox_other"]
    for name in hidden:
        with pytest.raises(errors.InsufficientPrivilege):
            await _count(database.scheduler(), name)
    for name, column in (
        ("connector_configs", "settings"),
        ("webhook_inbox", "body"),
        ("webhook_dead_letters", "body"),
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            await _count(database.scheduler(), name, column)
    # What it may delete is old: a policy says so, whatever is asked for.
    for name in ("webhook_inbox", "webhook_seen", "webhook_dead_letters"):
        async with database.scheduler() as connection:
            await connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
    async with database.workspace(two[0]) as connection:
        result = await connection.execute(
            "SELECT count(*), min(received_at) > now() - interval '1 day' FROM webhook_inbox"
        )
        assert await result.fetchone() == (4, True)
    for name in [*hidden, "connector_configs", "workspaces", "workspace_keys"]:
        assert await _count(database.owner(), name) == 0, name


async def test_a_pool_of_one_carries_nothing_over(database_url: str, two: tuple[UUID, UUID]) -> None:
    own, other = two

    async def look(database: Database, workspace: UUID, statement: str) -> None:
        async with database.workspace(workspace) as connection:
            assert await _visible(connection) == {workspace}
            await connection.execute(statement.encode())

    async def fail(database: Database) -> None:
        async with database.workspace(own) as connection:
            assert await _visible(connection) == {own}
            raise _InterruptedError

    async def cancel(database: Database) -> None:
        task = asyncio.create_task(look(database, own, "SELECT pg_sleep(60)"))
        while not await _sleeps(database_url):
            assert not task.done()
        task.cancel()
        await task

    async with Database.open(database_url, max_connections=1) as database:
        for interrupted, error in (
            (look(database, own, "SELECT 1/0"), errors.DivisionByZero),
            (fail(database), _InterruptedError),
            (cancel(database), asyncio.CancelledError),
        ):
            with pytest.raises(error):
                await interrupted
            await look(database, other, "SELECT 1")
            with pytest.raises(errors.InsufficientPrivilege):
                await _count(database.scheduler(), "unified_customers")
        # What forgets to take on a role has the app's, and no workspace.
        async with database._pool.connection() as connection:
            assert await _visible(connection) == set()


class _InterruptedError(Exception):
    pass


async def _sleeps(url: str) -> bool:
    async with await AsyncConnection.connect(url) as connection:
        result = await connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        )
        return await result.fetchone() is not None


async def _count(
    transaction: AbstractAsyncContextManager[AsyncConnection[Any]], table: str, column: str = "*"
) -> int:
    """How many rows a transaction sees; of a column, how many that are not null."""
    counted = sql.SQL("*") if column == "*" else sql.Identifier(column)
    async with transaction as connection:
        result = await connection.execute(
            sql.SQL("SELECT count({}) FROM {}").format(counted, sql.Identifier(table))
        )
        (count,) = await result.fetchone() or (-1,)
        return int(count)


async def _visible(connection: AsyncConnection[Any]) -> set[UUID]:
    result = await connection.execute("SELECT workspace_id FROM unified_customers")
    return {workspace for (workspace,) in await result.fetchall()}


async def _run(
    database: Database,
    workspace: UUID | str | None,
    statement: str,
    parts: dict[str, sql.Composable],
    values: dict[str, Any] | None = None,
) -> list[Any] | str:
    """The rows that a statement gives in a workspace, or the name of the error; always rolled back."""
    try:
        async with database.workspace(uuid4()) as connection:
            if workspace is None:
                await connection.execute("RESET app.workspace_id")
            else:
                await connection.execute("SELECT set_config('app.workspace_id', %s, true)", (str(workspace),))
            result = await connection.execute(sql.SQL(statement).format(**parts), values)
            rows = await result.fetchall()
            await connection.rollback()
            return rows
    except psycopg.Error as error:
        return type(error).__name__


async def _copy(database: Database, workspace: UUID, table: sql.Composable) -> str:
    """The name of the error that COPY into a table gives."""
    statement = sql.SQL("COPY {} FROM STDIN").format(table)
    try:
        async with database.workspace(workspace) as connection, connection.cursor().copy(statement):
            return "nothing refused it"
    except psycopg.Error as error:
        return type(error).__name__
