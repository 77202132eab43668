"""No workspace sees or changes another's rows: the catalogue, a generated matrix, and a shared pool."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection, errors, sql

from tests.conftest import migrated_database
from tests.unified.store.tenants import OTHER, OWN, fill, reach, tables, violations
from unified.schema.entities import ENTITIES
from unified.store.database import Database
from unified.store.server.roles import (
    API_ROLE,
    APP_ROLE,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
)

WORKSPACE_TABLES = """
    SELECT c.oid::regclass::text AS name, a.attname AS workspace_column
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
        AND (a.attname = 'workspace_id' OR (c.relname = 'workspaces' AND a.attname = 'id'))
    ORDER BY 1
"""
# Unique in all workspaces, each for a reason.
UNIQUE_ACROSS_WORKSPACES = {
    "workspaces_slug_key": "the maker of a workspace learns which names are taken, and may",
    "connector_configs_id_key": "random; an inbox finds its connection by it",
    "webhook_configs_endpoint_path_key": "192 random bits; a delivery finds its endpoint by it",
    "api_tokens_token_hash_key": "a hash of 256 random bits; a request finds its token by it",
}

# What a role may reach in all workspaces, and with which commands. A duty more is a decision, and is made here.
DUTIES: dict[str, dict[str, set[str]]] = {
    SCHEDULER_ROLE: {
        "connector_configs": {"SELECT"},
        "connector_documents": {"SELECT"},
        "cursors": {"SELECT"},
        "customer_changes": {"SELECT", "DELETE"},
        "gone_identities": {"SELECT", "DELETE"},
        "identity_queue": {"SELECT"},
        "identity_state": {"SELECT"},
        "inbox_cursors": {"SELECT"},
        "route_cursors": {"SELECT"},
        "route_outbox": {"SELECT"},
        "routes": {"SELECT"},
        "sync_history": {"SELECT"},
        "webhook_dead_letters": {"SELECT", "DELETE"},
        "webhook_inbox": {"SELECT", "DELETE"},
        "webhook_seen": {"SELECT", "DELETE"},
        "webhook_subscriptions": {"SELECT"},
        "workspace_keys": {"SELECT", "UPDATE"},
        "workspaces": {"SELECT"},
    },
    INGRESS_ROLE: {
        "connector_configs": {"SELECT"},
        "webhook_configs": {"SELECT"},
        "webhook_inbox": {"INSERT"},
        "webhook_seen": {"INSERT", "SELECT"},
        "webhook_strays": {"INSERT", "SELECT", "UPDATE"},
    },
    API_ROLE: {
        "api_tokens": {"SELECT", "UPDATE"},
        "workspace_members": {"SELECT"},
        "workspaces": {"SELECT"},
    },
    OWNER_ROLE: {},
}

# Tables without a workspace, each for a reason.
SHARED_TABLES = {
    "connectors",
    "alembic_version",
    "admin_tokens",
    "deployment_documents",
    "deployment_log",
    "reader_logins",
    "position_server",
    "revocations",
    "deprecations",
    "signing_keys",
}
EVERY_TABLE = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""


@pytest.fixture
def admin(database_url: str) -> Any:
    """A superuser's connection, bound by no policy."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def filled(server_url: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection to a database with two tenants in it, in a transaction that is rolled back."""
    with migrated_database(server_url, template) as url, psycopg.connect(url) as connection:
        fill(connection)
        yield connection
        connection.rollback()


@pytest.fixture
async def two(database: Database, database_url: str) -> tuple[UUID, UUID]:
    """Two workspaces, each with a row in every table that has a workspace."""
    with psycopg.connect(database_url) as connection:
        fill(connection)
    return OWN, OTHER


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
        ([APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE, OWNER_ROLE],),
    ).fetchall()
    assert attributes == [(False,) * 6] * 5
    for role in (APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE):
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
        ([APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE],),
    ).fetchall()
    assert beyond == []


def test_the_ingress_can_do_nothing_but_find_endpoints_and_append(admin: psycopg.Connection) -> None:
    tables = admin.execute(
        """
        SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = %s
        """,
        (INGRESS_ROLE,),
    ).fetchall()
    assert set(tables) == {
        ("webhook_inbox", "INSERT"),
        ("webhook_seen", "INSERT"),
        ("webhook_strays", "INSERT"),
    }
    columns = admin.execute(
        """
        SELECT table_name, array_agg(column_name::text ORDER BY column_name) FROM information_schema.role_column_grants
        WHERE grantee = %s AND privilege_type <> 'INSERT' GROUP BY table_name
        """,
        (INGRESS_ROLE,),
    ).fetchall()
    assert dict(columns) == {
        "connector_configs": [
            "account_doubts",
            "account_id",
            "account_livemode",
            "account_settled",
            "columns",
            "connector",
            "id",
            "workspace_id",
        ],
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
        "webhook_strays": ["account", "connection_id", "events", "events", "last_at", "mode", "workspace_id"],
    }


def test_no_unique_key_tells_of_another_workspace(filled: psycopg.Connection[Any]) -> None:
    """An INSERT that fails as a duplicate says that the other row exists, so the workspace is part of each key."""
    columns = {table.name: table.column for table in tables(filled)}
    unique = filled.execute(
        """
        SELECT x.indexrelid::regclass::text, c.relname,
            ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY(x.indkey))
        FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid WHERE x.indisunique AND c.relname = ANY(%s)
        """,
        (list(columns),),
    ).fetchall()
    assert {index for index, name, of in unique if columns[name] not in of} == set(UNIQUE_ACROSS_WORKSPACES)


def test_foreign_keys_lead_to_the_same_workspace(filled: psycopg.Connection[Any]) -> None:
    """They are checked without policies; so the workspace is part of each, on both ends."""
    columns = {table.name: table.column for table in tables(filled)}
    keys = filled.execute(
        """
        SELECT k.conname, a.relname, b.relname,
            (SELECT attname FROM pg_attribute WHERE attrelid = a.oid AND attnum = k.conkey[1]),
            (SELECT attname FROM pg_attribute WHERE attrelid = b.oid AND attnum = k.confkey[1])
        FROM pg_constraint AS k JOIN pg_class AS a ON a.oid = k.conrelid JOIN pg_class AS b ON b.oid = k.confrelid
        WHERE k.contype = 'f' AND a.relname = ANY(%(names)s) AND b.relname = ANY(%(names)s)
        """,
        {"names": list(columns)},
    ).fetchall()
    assert len(keys) > 10
    for key, source, target, source_column, target_column in keys:
        assert (source_column, target_column) == (columns[source], columns[target]), key


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
    # A reader's workspace is looked up for it, by who logged in: it may not see the table itself.
    assert admin.execute(definers).fetchall() == [("reader_workspace",)]


def test_matrix_of_tables_statements_and_workspaces(filled: psycopg.Connection[Any]) -> None:
    """For each table: own rows can be used; others' can't be seen, changed, removed, added or taken over."""
    found = [line for table in tables(filled) for line in violations(filled, table, APP_ROLE)]
    assert not found, "\n".join(found)


def test_the_other_roles_reach_just_what_their_duties_need(filled: psycopg.Connection[Any]) -> None:
    for role, duties in DUTIES.items():
        reached = {
            table.name: reach(filled, table, role) for table in tables(filled) if table.name == table.root
        }
        assert {name: commands for name, commands in reached.items() if commands} == duties, role
    for table in tables(filled):
        if table.name != table.root:
            assert not any(reach(filled, table, role) for role in DUTIES), table.name


def test_the_suite_sees_each_policy_that_is_missing_or_lax(filled: psycopg.Connection[Any]) -> None:
    """Mutation: whatever is taken from a table's protection shows in the matrix, or in what the roles reach."""
    of = {table.name: table for table in tables(filled)}
    policies = filled.execute(
        "SELECT tablename, policyname, roles, qual, with_check FROM pg_policies"
    ).fetchall()
    assert {name for name, *_ in policies} == set(of)
    mutations = [(name, "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY", "", [OWNER_ROLE]) for name in of]
    for name, policy, roles, using, check in policies:
        if roles == [READER_ROLE]:
            continue  # only a login of its own sees anything by it: test_readers
        mutations.append((name, "DROP POLICY {policy} ON {table}", policy, roles))
        if roles == [APP_ROLE]:
            mutations += [
                (name, f"ALTER POLICY {{policy}} ON {{table}} {clause} (true)", policy, roles)
                for clause, text in (("USING", using), ("WITH CHECK", check))
                if text
            ]
    for name, mutation, policy, roles in mutations:
        with filled.transaction(force_rollback=True):
            filled.execute(
                sql.SQL(mutation).format(table=sql.Identifier(name), policy=sql.Identifier(policy or "none"))
            )
            is_noticed = any(
                any(violations(filled, of[name], role))
                if role == APP_ROLE
                else reach(filled, of[name], role) != DUTIES[role].get(name, set())
                for role in roles
            )
        assert is_noticed, f"nobody notices {mutation} of {policy} on {name}"


async def test_scheduler_and_owner_see_no_record_and_no_secret(
    database: Database, two: tuple[UUID, UUID]
) -> None:
    async with database.scheduler() as connection:
        result = await connection.execute("SELECT count(DISTINCT workspace_id) FROM connector_configs")
        assert await result.fetchone() == (2,)
    hidden = [entity.table for entity in ENTITIES]
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
