"""A reader sees its own workspace and can do nothing else, whatever SQL it is given."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from tests.unified.store.tenants import OTHER, OWN
from unified.store.database import Database
from unified.store.doctor.examine import examine
from unified.store.doctor.findings import Finding
from unified.store.errors import RoleError
from unified.store.readers import doors, temporary
from unified.store.readers.query import QueryError, ask
from unified.store.server.roles import READER_ROLE

# What a reader sees of its workspace. No secret, no inbox, nobody's token; a table more is a decision, made here.
READABLE = {
    "connector_configs", "customer_identities", "customers_history", "golden_customers", "identity_aliases",
    "identity_decisions", "invoices_history", "pushed_records", "records_history", "rejects", "route_outbox", "routes",
    "schema_mappings", "sync_history", "unified_customers", "unified_events", "unified_invoices", "unified_records",
    "workspaces",
}  # fmt: skip
SHARED = {"connectors", "unified_invoice_lines"}

LEFT_BEHIND = "SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'unified_reader_')"


async def answer(db: Database, statement: str, workspace: UUID = OWN) -> list[tuple[Any, ...]]:
    return (await ask(db, workspace, statement, limit=100))[1]


async def test_it_reads_its_own_rows_and_no_others(database: Database, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        granted = connection.execute(
            "SELECT table_name FROM information_schema.role_table_grants"
            " WHERE grantee = %s AND table_schema = 'public'",
            (READER_ROLE,),
        ).fetchall()
        rights = connection.execute(
            "SELECT DISTINCT privilege_type FROM information_schema.role_table_grants WHERE grantee = %s",
            (READER_ROLE,),
        ).fetchall()
        policies = connection.execute(
            "SELECT tablename, cmd, qual FROM pg_policies WHERE roles = ARRAY[%s]::name[]", (READER_ROLE,)
        ).fetchall()
        every = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        ).fetchall()
    assert {name for (name,) in granted} == READABLE | SHARED
    assert rights == [("SELECT",)]
    assert {name for name, *_ in policies} == READABLE
    for name, command, condition in policies:
        column = "id" if name == "workspaces" else "workspace_id"
        bound = f"({column} = ( SELECT reader_workspace() AS reader_workspace))"
        assert (command, condition) == ("SELECT", bound), name
    for (name,) in every:
        if name in READABLE:
            column = "id" if name == "workspaces" else "workspace_id"
            for workspace in (OWN, OTHER):
                asked = f"SELECT array_agg(DISTINCT {column}) FROM {name}"  # noqa: S608
                (row,) = await answer(database, asked, workspace)
                assert row == ([workspace],), name
        elif name not in SHARED:
            with pytest.raises(QueryError, match="permission denied"):
                await answer(database, f'TABLE "{name}"')


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT set_config('app.workspace_id', '{other}', false), id FROM workspaces",
        "SELECT set_config('app.workspace_id', '{other}', true), id FROM workspaces",
        "WITH a AS MATERIALIZED (SELECT set_config('app.workspace_id', '{other}', false)) SELECT id FROM a, workspaces",
        "SELECT set_config('row_security', 'off', false), id FROM workspaces",
        "SELECT set_config('search_path', 'pg_temp', false), id FROM public.workspaces",
        "SELECT id FROM workspaces WHERE set_config('session_replication_role', 'replica', false) IS NOT NULL",
        "SELECT set_config('role', 'unified_app', false), id FROM workspaces",
        "SELECT set_config('role', 'unified_owner', false), id FROM workspaces",
        "SELECT set_config('role', 'unified_scheduler', false), id FROM workspaces",
        "SELECT set_config('role', 'none', false), id FROM workspaces",
        "SELECT set_config('session_authorization', 'postgres', false), id FROM workspaces",
        "SELECT set_config('role', 'unified_reader', false), id FROM workspaces",
        "SELECT id FROM workspaces ORDER BY (SELECT max(session_user) FROM pg_roles)",
    ],
)
async def test_no_setting_leads_to_another_workspace(statement: str, database: Database) -> None:
    try:
        rows = await answer(database, statement.replace("{other}", str(OTHER)))
    except QueryError:
        return
    assert {row[-1] for row in rows} <= {OWN}


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN DELETE FROM workspaces; END $$",
        "/* a question? */ DO $$ BEGIN END $$",
        "COPY workspaces TO '{file}'",
        "COPY (SELECT 1) TO PROGRAM 'touch {file}'",
        "COPY workspaces FROM STDIN",
        "SET ROLE unified_app",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION DEFAULT",
        "COMMIT",
        "ROLLBACK; DELETE FROM workspaces",
        "SELECT 1; DELETE FROM workspaces",
        "DELETE FROM workspaces",
        "CALL isolate_by_workspace('workspaces')",
        "WITH gone AS (DELETE FROM workspaces RETURNING id) SELECT * FROM gone",
        "WITH new AS (INSERT INTO reader_logins VALUES (session_user, gen_random_uuid())) SELECT 1",
        "WITH new AS (UPDATE unified_customers SET name = 'x' RETURNING 1) SELECT * FROM new",
        "EXPLAIN ANALYZE DELETE FROM workspaces",
        "EXPLAIN ANALYZE CREATE TABLE here AS SELECT 1",
        "SELECT 1 AS a INTO here",
        "SELECT * FROM workspaces FOR UPDATE",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT pg_stat_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '{file}')",
        "SELECT dblink('dbname=unified', 'SELECT 1')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> session_user",
        "SELECT pg_reload_conf()",
        "SELECT rolpassword FROM pg_authid",
        "SELECT wrapped_key FROM workspace_keys",
        "SELECT ciphertext FROM connector_credentials",
        "SELECT body FROM webhook_inbox",
        "SELECT * FROM unified_customers_stripe",
        "SELECT * FROM reader_logins",
        "SELECT nextval('webhook_inbox_id')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_lock_shared(1, 2)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1)",
        "SELECT query_to_xml('SELECT pg_advisory_lock(1)', true, true, '')",
        "LOAD 'plpgsql'",
        "LISTEN everything",
        "",
        "--",
        "SELECT '\0'",
    ],
)
async def test_it_can_do_nothing_else(
    statement: str, database: Database, database_url: str, tmp_path: Path
) -> None:
    def counted() -> tuple[Any, ...] | None:
        with psycopg.connect(database_url) as connection:
            return connection.execute(
                "SELECT (SELECT count(*) FROM workspaces), (SELECT count(*) FROM pg_class), "
                "(SELECT string_agg(name, ',') FROM unified_customers), (SELECT count(*) FROM pg_largeobject_metadata)"
            ).fetchone()

    before, file = counted(), tmp_path / "written"
    with pytest.raises(QueryError):
        await answer(database, statement.replace("{file}", str(file)))
    assert counted() == before
    assert not file.exists()


# What keeps it there is the database: the same statements, past everything that looks at their text.
@pytest.mark.parametrize(
    "statement",
    [
        "SET default_transaction_read_only = off; DELETE FROM workspaces",
        "SET default_transaction_read_only = off; UPDATE unified_customers SET name = 'x'",
        "SET ROLE unified_app",
        "SET SESSION AUTHORIZATION postgres",
        "DO $$ BEGIN PERFORM set_config('role', 'postgres', false); END $$",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY workspaces TO '/tmp/never-written'",
        "SET default_transaction_read_only = off; CREATE TABLE here (a int)",
        "SET default_transaction_read_only = off; INSERT INTO reader_logins VALUES (session_user, gen_random_uuid())",
        "SET default_transaction_read_only = off; CALL let_readers_read('workspace_keys')",
        "CREATE ROLE another LOGIN",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "GRANT unified_app TO CURRENT_USER",
        "CREATE EXTENSION dblink",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'abs'",
    ],
)
async def test_the_database_refuses_it_and_not_a_look_at_the_text(statement: str, database: Database) -> None:
    async with temporary.connect(database, OWN) as conn:
        with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
            await conn.execute(statement.encode())
        await conn.execute(f"SET app.workspace_id = '{OTHER}'".encode())
        seen = await (await conn.execute("SELECT id FROM workspaces")).fetchall()
    assert seen == [(OWN,)]


async def test_a_reader_holds_up_no_sync(database: Database) -> None:
    """It sees the keys of the app's locks, and can't take one."""
    key = f"sync/{uuid4()}/customers"
    async with temporary.connect(database, OWN) as conn:
        with pytest.raises(errors.InsufficientPrivilege):
            await conn.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        async with database.exclusive(key) as is_mine, database.exclusive(key) as is_anothers:
            assert (is_mine, is_anothers) == (True, False)
        assert await doors.left_open(conn) == []


async def test_the_doctor_says_where_readers_may_take_locks(database_url: str) -> None:
    def findings(found: Sequence[Finding]) -> list[str]:
        return [one.message for one in found if "locks of syncs" in one.message]

    assert findings(await examine(database_url)) == []
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC")
        (message,) = findings(await examine(database_url))
        for statement in message.partition("of this database: ")[2].split("; "):
            connection.execute(statement.encode())
    assert findings(await examine(database_url)) == []


def test_no_function_that_runs_as_its_owner_is_open_to_a_reader_but_one(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            """
            SELECT p.proname FROM pg_proc AS p
            WHERE p.prosecdef AND has_function_privilege(%s, p.oid, 'EXECUTE')
            """,
            (READER_ROLE,),
        ).fetchall()
        members = connection.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", (READER_ROLE,)
        ).fetchall()
    assert found == [("reader_workspace",)]
    assert members == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_sleep(60)",
        "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
        "SELECT count(*) FROM generate_series(1, 100000000000)",
    ],
)
async def test_a_statement_that_takes_too_long_is_ended(statement: str, database: Database) -> None:
    with pytest.raises(QueryError, match="no answer in 1 s; ask for less"):
        await ask(database, OWN, statement, limit=100, seconds=1)


async def test_readers_side_by_side_leave_nothing_behind(database: Database, database_url: str) -> None:
    asked = [answer(database, "SELECT id FROM workspaces", workspace) for workspace in (OWN, OTHER) * 4]
    assert await asyncio.gather(*asked) == [[(workspace,)] for workspace in (OWN, OTHER) * 4]
    with pytest.raises(QueryError):
        await answer(database, "SELECT 1/0")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("TABLE reader_logins").fetchall() == []
        mine = f"{LEFT_BEHIND} AND rolvaliduntil < now()"
        assert connection.execute(mine.encode()).fetchall() == []


async def test_what_a_killed_process_left_goes_with_the_next_reader(
    database: Database, database_url: str
) -> None:
    name = f"unified_reader_{uuid4().hex[:16]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE ROLE {name} LOGIN VALID UNTIL '2026-01-01' IN ROLE {READER_ROLE}".encode()
        )
        await answer(database, "SELECT 1")
        assert connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchall() == []


async def test_a_login_that_may_make_no_reader_is_told_what_to_do(
    database: Database, database_url: str
) -> None:
    name = f"test_service_{uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(
            f"GRANT unified_app, unified_scheduler, unified_ingress, unified_api, unified_owner TO {name}".encode()
        )
        try:
            async with Database.open(make_conninfo_url(database_url, name)) as service:
                with pytest.raises(
                    RoleError, match=f"ALTER ROLE {name} CREATEROLE; GRANT unified_reader TO {name}"
                ):
                    await answer(service, "SELECT 1")
        finally:
            connection.execute(f"DROP ROLE {name}".encode())


def make_conninfo_url(url: str, user: str) -> str:
    """The same database, as another login."""
    parts = psycopg.conninfo.conninfo_to_dict(make_conninfo(url, user=user))
    rest = "&".join(f"{key}={value}" for key, value in parts.items() if key != "dbname")
    return f"postgresql:///{parts['dbname']}?{rest}"
