"""A database from empty to this release, by any login that may, as often and as concurrently as one likes."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from unified.schema.entities import CUSTOMERS, ENTITIES, Entity
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.errors import RoleError
from unified.store.migrate import MigrationStatus, ensure_database, migrate, status
from unified.store.migrations import FOLDER, HEAD
from unified.store.records.tables import TABLES
from unified.store.server.urls import beside

ENTRY = ConnectorEntry("stripe", "Stripe", ("READ",), ("customers", "invoices", "events"))
REVISIONS = sorted(path.name[:4] for path in FOLDER.glob("versions/[0-9]*.py"))
# What a row has beside its model's fields.
OWN_COLUMNS = {
    "workspace_id": "uuid",
    "connection_id": "uuid",
    "stream": "text",
    "schema_version": "text",
    "content_hash": "bigint",
    "changed_xid": "xid8",
    "raw_compressed": "bytea",
}

# What customers are looked up by, made of their fields.
KEY_COLUMNS = {"email_key": "text", "phone_key": "text", "company_key": "text"}


@pytest.fixture
def new_url(server_url: str) -> Iterator[str]:
    """A superuser's URL of a database that does not exist."""
    name = f"test_new_{uuid4().hex[:8]}"
    yield beside(server_url, name)
    with psycopg.connect(beside(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def test_a_missing_database_is_made_and_brought_to_head(new_url: str) -> None:
    assert migrate(new_url, [ENTRY]) == REVISIONS
    assert status(new_url) == MigrationStatus(HEAD, HEAD)
    assert migrate(new_url, [ENTRY]) == []


def test_what_is_up_to_date_is_left_without_alembic(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)  # half a second, before each connection that is added
    assert migrate(database_url, [ENTRY]) == []


def test_an_empty_database_has_no_revision(new_url: str) -> None:
    ensure_database(new_url)
    ensure_database(new_url)
    assert status(new_url) == MigrationStatus(None, HEAD)


def test_several_processes_may_migrate_at_once(new_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate(new_url, [ENTRY]), range(4)))
    assert sorted(applied) == [[], [], [], REVISIONS]


def test_the_head_is_alembics() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


@pytest.mark.parametrize("entity", ENTITIES, ids=attrgetter("name"))
def test_columns_are_the_models_fields(database_url: str, entity: Entity) -> None:
    table = TABLES[entity]
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            """
            SELECT attname,
                replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz')
            FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
            """,
            (entity.table,),
        ).fetchall()
    keys = KEY_COLUMNS if entity is CUSTOMERS else {}
    since = {"state_since": "timestamptz"} if entity.history else {}
    assert dict(columns) == OWN_COLUMNS | keys | since | {
        column.name: column.type for column in table.columns
    }


@pytest.mark.parametrize("table", ["unified_customers", "unified_invoices", "unified_invoices_stripe"])
def test_only_raw_records_are_compressed_before_they_are_moved_out_of_a_row(
    database_url: str, table: str
) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attstorage = 'x'",
            (table,),
        ).fetchall()
    # A server without lz4 compresses these neither.
    assert set(found) <= {("raw_data",)}


@pytest.mark.parametrize("table", [*(entity.table for entity in ENTITIES), "golden_customers"])
def test_whatever_changes_a_row_moves_it_in_the_order_of_changes(database_url: str, table: str) -> None:
    """A column that a migration adds is one of the trigger's: see ``keep_change_order``.

    But for the raw record, whose form may change by itself; where it says something else, its hash changes with it.
    """
    with psycopg.connect(database_url) as connection:
        lacking = connection.execute(
            """
            SELECT attname FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
                AND attgenerated = '' AND attnum <> ALL((
                    SELECT tgattr::smallint[] FROM pg_trigger
                    WHERE tgrelid = %(table)s::regclass AND tgname = 'moved_to_end'
                )::smallint[])
            """,
            {"table": table},
        ).fetchall()
    raw = {"raw_data", "raw_compressed"} if table != "golden_customers" else set()
    assert {name for (name,) in lacking} == raw | ({"observed_at"} if raw else set()) | {"changed_xid"}


def test_the_catalogue_of_connectors_follows_the_code(database_url: str) -> None:
    added = ConnectorEntry("new_one", "New One", ("READ", "BATCH"), ("events",))
    renamed = ConnectorEntry("stripe", "Stripe, renamed", ("READ",), ("customers",))
    migrate(database_url, [added, renamed])
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT name, display_name, streams, is_enabled FROM connectors").fetchall()
        leaf = connection.execute(
            """
            SELECT relrowsecurity, relforcerowsecurity FROM pg_class
            WHERE relname = 'unified_events_new_one'
            """
        ).fetchone()
    assert {row[0]: row[1:] for row in rows} == {
        "stripe": ("Stripe, renamed", ["customers"], True),
        "new_one": ("New One", ["events"], True),
        "hubspot": ("HubSpot", ["customers", "invoices"], False),
    }
    assert leaf == (True, True)


@pytest.fixture
def plain_login(server_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database owned by a login that is no superuser."""
    name, attributes = f"test_owner_{uuid4().hex[:8]}", request.param
    with psycopg.connect(beside(server_url, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'fake' {attributes}".encode())
        connection.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
        yield _as_login(beside(server_url, name), name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        # Nothing but the roles that it was granted, and gave, hangs on it now.
        connection.execute(f"DROP OWNED BY {name} CASCADE".encode())
        connection.execute(f"DROP ROLE {name}".encode())


@pytest.mark.parametrize("plain_login", ["NOCREATEROLE"], indirect=True)
def test_a_login_without_the_right_is_told_which_it_needs(plain_login: str, template: str) -> None:
    with pytest.raises(RoleError, match="CREATEROLE"):
        migrate(plain_login, [ENTRY])


@pytest.mark.parametrize("plain_login", ["NOCREATEROLE NOINHERIT"], indirect=True)
async def test_a_login_that_was_granted_the_roles_migrates_and_works(
    plain_login: str, server_url: str, template: str
) -> None:
    login = urlsplit(plain_login).username
    with psycopg.connect(beside(server_url, "postgres"), autocommit=True) as connection:
        for role in ("unified_owner", "unified_app", "unified_scheduler", "unified_ingress", "unified_api"):
            connection.execute(f"GRANT {role} TO {login}".encode())
    if not _inherits_ownership(plain_login):
        with pytest.raises(RoleError, match="GRANT CREATE ON SCHEMA public"):
            migrate(plain_login, [ENTRY])
        with psycopg.connect(beside(server_url, str(login)), autocommit=True) as connection:
            connection.execute("GRANT CREATE ON SCHEMA public TO unified_owner")
    assert migrate(plain_login, [ENTRY]) == REVISIONS
    async with Database.open(plain_login) as database, database.workspace(uuid4()) as connection:
        result = await connection.execute("SELECT current_user::text, session_user::text")
        assert await result.fetchone() == ("unified_app", login)
    # Without a role the login can't read a table.
    with psycopg.connect(plain_login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT 1 FROM workspaces")


def _inherits_ownership(url: str) -> bool:
    """Before PostgreSQL 16 a login that inherits nothing is no owner of its own database's schema either."""
    with psycopg.connect(url) as connection:
        return connection.info.server_version >= 160000


def _as_login(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:fake@{parts.netloc.rpartition('@')[2]}"))
