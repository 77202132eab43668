"""A granted reader sees one workspace, whatever it sets, calls or opens, until it is revoked or the workspace goes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection, errors, sql

from tests.conftest import migrated_database
from tests.unified.store.tenants import OTHER, OWN
from unified.store import audit, removal
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, RoleError
from unified.store.readers import doors, granted, roles
from unified.store.readers.granted import ReaderNotFoundError
from unified.store.records.views import data
from unified.store.server.roles import READER_ROLE
from unified.store.server.urls import beside

VIEWS = [view.name for view in data.of_models()]


@pytest.fixture(scope="module")
def standing(server_url: str, filled_template: str) -> Iterator[str]:
    """The URL of a reader of OWN, in a database with two workspaces that no test changes."""
    name = f"bi_{uuid4().hex[:8]}"

    async def grant(url: str) -> str:
        async with Database.open(url) as db:
            return (await granted.grant(db, OWN, name)).reveal()

    async def remove(url: str) -> None:
        async with Database.open(url) as db:
            await granted.revoke(db, name)

    with migrated_database(server_url, filled_template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            doors.close(
                connection
            )  # PostgreSQL copies a template's rights on functions, not those on the database
        yield roles.url_of(url, name, asyncio.run(grant(url)))
        asyncio.run(remove(url))


@pytest.fixture
def conn(standing: str) -> Iterator[psycopg.Connection]:
    """A session of that reader."""
    with psycopg.connect(standing, autocommit=True) as conn:
        yield conn


def seen(conn: psycopg.Connection) -> dict[str, list[Any]]:
    """Whose rows each view shows."""
    return {
        view: [one for (one,) in conn.execute(f"SELECT DISTINCT workspace_id FROM data.{view}".encode())]  # noqa: S608
        for view in VIEWS
    }


def test_it_reads_its_own_workspace_in_every_view(conn: psycopg.Connection) -> None:
    # The lines of made-up invoices are none.
    assert seen(conn) == {view: [] if view.startswith("invoice_lines") else [OWN] for view in VIEWS}
    short = conn.execute("SELECT DISTINCT workspace_id FROM customers")
    assert short.fetchall() == [(OWN,)], "without the schema's name"


# Whatever it sets: the same rows, or an error.
@pytest.mark.parametrize(
    "statement",
    [
        "SET app.workspace_id = '{other}'",
        "SELECT set_config('app.workspace_id', '{other}', false)",
        "ALTER ROLE CURRENT_USER SET app.workspace_id = '{other}'",
        "SET ROLE unified_reader",
        "SET ROLE unified_app",
        "SET ROLE unified_owner",
        "SET ROLE unified_scheduler",
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION unified_app",
        "SET SESSION AUTHORIZATION postgres",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SET session_replication_role = replica",
        "SET search_path = pg_temp, pg_catalog, data",
        "SET default_transaction_read_only = off",
        "SELECT current_workspace()",
        "SELECT reader_workspace()",
        "CALL let_readers_read('workspace_keys')",
        "CALL isolate_by_workspace('workspaces')",
    ],
)
def test_no_setting_no_role_and_no_call_leads_to_another_workspace(
    statement: str, conn: psycopg.Connection
) -> None:
    before = seen(conn)
    with suppress(psycopg.Error):
        conn.execute(statement.replace("{other}", str(OTHER)).encode())
    assert seen(conn) == before


def test_policies_are_not_switched_off(conn: psycopg.Connection) -> None:
    conn.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security policy"):
        seen(conn)


def execute(conn: psycopg.Connection, statement: str) -> None:
    if not statement.endswith("STDIN"):
        conn.execute(statement.encode())
        return
    with conn.cursor() as cursor, cursor.copy(statement.encode()):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO unified_customers (name) VALUES ('x')",
        "UPDATE data.customers SET name = 'x'",
        "DELETE FROM data.customers_all",
        "TRUNCATE unified_customers",
        "MERGE INTO data.customers USING (SELECT 1) ON false WHEN NOT MATCHED THEN INSERT (name) VALUES ('x')",
        "SELECT * FROM data.customers FOR UPDATE",
        "COPY unified_customers FROM STDIN",
        "COPY data.customers FROM STDIN",
        "COPY data.customers TO '/tmp/never-written'",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "CREATE TABLE here (a int)",
        "CREATE TABLE data.here (a int)",
        "CREATE VIEW data.here AS SELECT 1",
        "CREATE SCHEMA here",
        "CREATE ROLE another",
        "CREATE EXTENSION dblink",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TRIGGER t AFTER INSERT ON unified_customers EXECUTE FUNCTION doubt_account()",
        "CREATE RULE r AS ON SELECT TO data.customers DO INSTEAD SELECT 1",
        "CREATE POLICY p ON unified_customers USING (true)",
        "CREATE STATISTICS s ON name, email FROM unified_customers",
        "ALTER VIEW data.customers SET (security_invoker = false)",
        "ALTER TABLE unified_customers DISABLE ROW LEVEL SECURITY",
        "COMMENT ON VIEW data.customers IS 'mine'",
        "DO $$ BEGIN LOCK TABLE unified_customers IN ACCESS EXCLUSIVE MODE; END $$",
        "GRANT unified_app TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER SYSTEM SET fsync = off",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/never-written')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
        "SELECT * FROM unified_customers_stripe",
        "SELECT * FROM unified_invoices_hubspot",
        "SELECT * FROM connector_credentials",
        "SELECT * FROM workspace_keys",
        "SELECT * FROM webhook_inbox",
        "SELECT * FROM webhook_configs",
        "SELECT * FROM api_tokens",
        "SELECT * FROM audit_log",
        "SELECT * FROM reader_logins",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_largeobject",
        "SELECT * FROM pg_stat_get_wal_receiver() WHERE pg_read_binary_file('/etc/passwd') IS NOT NULL",
    ],
)
def test_it_writes_nothing_and_reads_nothing_else(statement: str, conn: psycopg.Connection) -> None:
    conn.execute("SET default_transaction_read_only = off")
    with pytest.raises(
        (
            errors.InsufficientPrivilege,
            errors.FeatureNotSupported,  # COPY where there are policies
            errors.WrongObjectType,
            errors.ObjectNotInPrerequisiteState,
            errors.InvalidObjectDefinition,
        )
    ):
        execute(conn, statement)


def test_the_statistics_of_columns_show_no_values(
    conn: psycopg.Connection, standing: str, server_url: str
) -> None:
    dbname = str(psycopg.conninfo.conninfo_to_dict(standing)["dbname"])
    with psycopg.connect(beside(server_url, dbname), autocommit=True) as admin:
        admin.execute("ANALYZE")
        kept = admin.execute(
            "SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND attname = 'source_id'"
        )
        assert kept.fetchone() != (0,)
    for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
        shown = conn.execute(f"SELECT tablename FROM {view} WHERE schemaname IN ('public', 'data')".encode())  # noqa: S608
        assert {name for (name,) in shown} <= {"connectors"}
    activity = conn.execute("SELECT query FROM pg_stat_activity WHERE usename <> session_user")
    assert {query for (query,) in activity} <= {"<insufficient privilege>"}


@pytest.fixture
async def name(database: Database) -> AsyncIterator[str]:
    """The name for a reader; its login is gone afterwards, as the server is the session's."""
    name = f"bi_{uuid4().hex[:8]}"
    yield name
    async with roles.administrator(database) as conn:
        await roles.remove(conn, name)


@pytest.fixture
async def reader(database: Database, name: str) -> AsyncIterator[AsyncConnection[Any]]:
    """A session of a reader of OWN."""
    password = await granted.grant(database, OWN, name)
    async with await AsyncConnection.connect(
        roles.url_of(database.url, name, password.reveal()), autocommit=True
    ) as conn:
        yield conn


async def rows(conn: AsyncConnection[Any], statement: str) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(statement.encode())
    return await cursor.fetchall() if cursor.description else []


async def test_its_limits_hold_from_the_start(reader: AsyncConnection[Any]) -> None:
    for setting, value in roles.SETTINGS.items():
        assert await rows(reader, f"SELECT current_setting('{setting}')") == [(value.replace("60s", "1min"),)]
    await reader.execute("SET statement_timeout = '200ms'")
    with pytest.raises(errors.QueryCanceled):
        await reader.execute("SELECT pg_sleep(60)")


async def test_of_500_sessions_it_gets_as_many_as_it_was_granted_and_others_go_on(
    database: Database, name: str
) -> None:
    password = await granted.grant(database, OWN, name, connections=3)
    url = roles.url_of(database.url, name, password.reveal())
    opened: list[AsyncConnection[Any]] = []
    refusals = []
    for _ in range(500):
        try:
            opened.append(await AsyncConnection.connect(url))
        except psycopg.OperationalError as error:
            refusals.append(str(error))
    try:
        assert (len(opened), len(refusals)) == (3, 497)
        assert all("too many connections for role" in text for text in refusals)
        async with database.workspace(OWN) as conn:
            assert await rows(conn, "SELECT 1") == [(1,)]
    finally:
        for conn in opened:
            await conn.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_try_advisory_lock(hashtextextended('unified/master keys', 0))",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1, 2)",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_logical_emit_message(false, 'a', repeat('x', 1000))",
        "SELECT pg_current_xact_id()",
        "SELECT txid_current()",
        "CREATE TEMP TABLE here (a int)",
    ],
)
def test_it_holds_nothing_up_with_what_every_login_may_do(statement: str, conn: psycopg.Connection) -> None:
    conn.execute("SET default_transaction_read_only = off")
    with pytest.raises(errors.InsufficientPrivilege):
        conn.execute(statement.encode())


async def test_those_that_work_here_go_on(database: Database) -> None:
    async with database.workspace(OWN) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(1), pg_current_xact_id()")
        await conn.execute("CREATE TEMP TABLE staged (a int)")


async def test_a_password_is_its_own_and_a_new_grant_makes_a_new_one(database: Database, name: str) -> None:
    first = await granted.grant(database, OWN, name)
    second = await granted.grant(database, OWN, name, connections=2)
    assert first.reveal() != second.reveal()
    (found,) = [one for one in await granted.listed(database) if one.name == name]
    assert (found.workspace_id, found.connections, found.own_schema) == (OWN, 2, False)
    async with roles.administrator(database) as conn:
        stored = await rows(conn, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'")  # noqa: S608
    assert stored[0][0].startswith("SCRAM-SHA-256$")
    with pytest.raises(DuplicateNameError, match="reads another workspace"):
        await granted.grant(database, OTHER, name)


@pytest.mark.parametrize(
    "taken", ["unified_app", "unified_reader_x", "pg_x", "postgres", "data", "Bad", "1a", "a-b", "", "a" * 64]
)
async def test_a_name_that_is_ours_or_no_logins_is_refused(database: Database, taken: str) -> None:
    with pytest.raises(InvalidSettingError, match="can't be the name of a reader"):
        await granted.grant(database, OWN, taken)


async def test_a_login_of_somebody_elses_is_left_alone(database: Database, name: str) -> None:
    async with roles.administrator(database) as conn:
        await conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        with pytest.raises(DuplicateNameError, match="is not a reader's"):
            await granted.grant(database, OWN, name)
        with pytest.raises(ReaderNotFoundError):
            await granted.revoke(database, name)
        assert await rows(conn, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == [(1,)]  # noqa: S608


async def test_revoking_ends_its_sessions_and_its_login(
    database: Database, name: str, reader: AsyncConnection[Any]
) -> None:
    assert await granted.revoke(database, name)
    with pytest.raises(psycopg.OperationalError):
        await rows(reader, "SELECT 1")
    with pytest.raises(ReaderNotFoundError, match="there is no reader"):
        await granted.revoke(database, name)
    async with roles.administrator(database) as conn:
        assert await rows(conn, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []  # noqa: S608
    async with database.workspace(OWN) as conn:
        entries = await audit.entries(conn, subject=f"reader {name}")
    assert [one.action for one in entries] == ["reader.revoke", "reader.grant"]


async def test_a_reader_goes_with_its_workspace(
    database: Database, name: str, reader: AsyncConnection[Any]
) -> None:
    await removal.delete_workspace(database, OWN)
    with pytest.raises(psycopg.OperationalError):
        await rows(reader, "SELECT 1")
    assert name not in [one.name for one in await granted.listed(database)]


async def test_a_reader_that_can_not_be_removed_is_blind_at_once_and_goes_later(
    database: Database,
    name: str,
    reader: AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refused(conn: AsyncConnection[Any], login: str) -> None:
        raise errors.InsufficientPrivilege

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(roles, "hold", refused)
        await removal.delete_workspace(database, OWN)
    assert f"the login of the reader {name} stays" in caplog.text
    for view in VIEWS:
        assert await rows(reader, f"SELECT 1 FROM data.{view}") == []  # noqa: S608
    assert await granted.sweep(database) == []
    with pytest.raises(psycopg.OperationalError):
        await rows(reader, "SELECT 1")


async def test_a_schema_of_its_own_is_all_that_it_may_write_to_and_goes_with_it(
    database: Database, database_url: str, name: str
) -> None:
    await granted.grant(database, OWN, name, own_schema=True)
    password = await granted.grant(database, OWN, name, own_schema=True)
    url = roles.url_of(database.url, name, password.reveal())
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute("CREATE TABLE kept AS SELECT workspace_id FROM customers")
        await conn.execute("CREATE VIEW mine AS SELECT workspace_id FROM customers")
        assert await rows(conn, "SELECT DISTINCT workspace_id FROM kept") == [(OWN,)]
        with pytest.raises(errors.InsufficientPrivilege):
            await conn.execute("CREATE TABLE data.here (a int)")
        # What it makes is no way around the policies: it is asked after them.
        await conn.execute(
            "CREATE FUNCTION leak(uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
            " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
        )
        notices: list[str] = []
        conn.add_notice_handler(lambda one: notices.append(one.message_primary or ""))
        await conn.execute("SELECT 1 FROM data.customers_all WHERE leak(workspace_id)")
        assert set(notices) == {str(OWN)}
    (found,) = [one for one in await granted.listed(database) if one.name == name]
    assert found.own_schema
    assert await granted.revoke(database, name)
    with psycopg.connect(database_url) as admin:
        assert admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,)).fetchall() == []


async def test_a_schema_of_somebody_elses_is_not_handed_over(
    database: Database, database_url: str, name: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {name}".encode())
    with pytest.raises(DuplicateNameError, match=f"has a schema '{name}' already, and it is postgres's"):
        await granted.grant(database, OWN, name, own_schema=True)
    assert name not in [one.name for one in await granted.listed(database)], "all or nothing"


async def test_a_login_that_may_make_roles_grants_and_revokes_without_being_a_superuser(
    database: Database, database_url: str, name: str
) -> None:
    service = f"test_service_{uuid4().hex[:8]}"
    acting = "unified_app, unified_scheduler, unified_ingress, unified_api, unified_owner"
    dbname = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {service} LOGIN NOINHERIT".encode())
        admin.execute(f"GRANT {acting} TO {service}".encode())
        admin.execute(f"GRANT CREATE, TEMPORARY ON DATABASE {dbname} TO {service} WITH GRANT OPTION".encode())
        try:
            async with Database.open(roles.url_of(database_url, service)) as db:
                with pytest.raises(
                    RoleError, match=f"ALTER ROLE {service} CREATEROLE; GRANT {READER_ROLE} TO {service}"
                ):
                    await granted.grant(db, OWN, name)
                admin.execute(f"ALTER ROLE {service} CREATEROLE".encode())
                admin.execute(f"GRANT {READER_ROLE} TO {service} WITH ADMIN OPTION".encode())
                password = await granted.grant(db, OWN, name, own_schema=True)
                url = roles.url_of(database_url, name, password.reveal())
                async with await AsyncConnection.connect(url, autocommit=True) as conn:
                    await conn.execute("CREATE TABLE kept AS SELECT workspace_id FROM customers")
                assert await granted.revoke(db, name)
        finally:
            admin.execute(f"DROP OWNED BY {service}".encode())
            admin.execute(f"DROP ROLE {service}".encode())


def test_the_url_of_a_reader_names_it_and_nobody_else() -> None:
    plain = "postgresql://owner:secret@db.example.com:6432/unified?sslmode=verify-full"
    assert roles.url_of(plain, "bi") == "postgresql://bi@db.example.com:6432/unified?sslmode=verify-full"
    assert roles.url_of(plain, "bi", "a/b@c") == (
        "postgresql://bi:a%2Fb%40c@db.example.com:6432/unified?sslmode=verify-full"
    )
    socket = "postgresql://postgres@/unified?host=/tmp/a%20b&user=postgres&password=x"
    assert roles.url_of(socket, "bi") == "postgresql://bi@/unified?host=/tmp/a%20b"
    pooler = "postgresql://unified_service.abc:x@aws-0-eu.pooler.supabase.com:5432/postgres"
    assert roles.url_of(pooler, "bi", "y") == (
        "postgresql://bi.abc:y@aws-0-eu.pooler.supabase.com:5432/postgres"
    )
