"""The schema `data`: a view of everything that people read, described, and as isolated as the tables."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.conftest import AddConnection
from tests.unified.store.records.test_streams import at, row, store
from unified.schema.entities import CUSTOMERS, ENTITIES, INVOICES, RECORDS
from unified.schema.invoice import UnifiedLineItem
from unified.store.connections.registry import Registry
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.errors import RoleError
from unified.store.migrate import migrate
from unified.store.records import derived
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import TABLES, StreamKey
from unified.store.records.views.data import DataViewError
from unified.store.records.views.streams import DATA_SCHEMA

STRIPE = ConnectorEntry("stripe", "Stripe", ("READ",), ("customers", "deals"), ("deals",))
WITH_TOMBSTONES = {"customers", "invoices", "invoice_lines", "events", "records"}
OTHERS = {"identities", "golden_customers", "identity_aliases", "connections"}
OTHERS |= {entity.history for entity in ENTITIES if entity.history}


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


def columns(admin: psycopg.Connection, view: str) -> dict[str, tuple[str, str | None]]:
    """Type and description of each column."""
    found = admin.execute(
        """
        SELECT attname, format_type(atttypid, NULL), col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum
        """,
        (f"data.{view}",),
    )
    return {name: (kind, text) for name, kind, text in found.fetchall()}


def views(admin: psycopg.Connection) -> set[str]:
    return {name for (name,) in admin.execute("SELECT viewname FROM pg_views WHERE schemaname = 'data'")}


def seen(admin: psycopg.Connection, view: str) -> list[tuple[str, bool]]:
    query = sql.SQL("SELECT source_id, deleted_at IS NOT NULL FROM {} ORDER BY 1").format(
        sql.Identifier("data", view)
    )
    return admin.execute(query).fetchall()


def test_each_view_is_there_and_each_of_its_columns_is_described(admin: psycopg.Connection) -> None:
    assert views(admin) == WITH_TOMBSTONES | {f"{name}_all" for name in WITH_TOMBSTONES} | OTHERS
    for view in views(admin):
        assert [name for name, (_, text) in columns(admin, view).items() if not text] == [], view
        about = admin.execute("SELECT obj_description(%s::regclass)", (f"data.{view}",)).fetchone()
        assert about not in (None, (None,)), view
    for entity in ENTITIES:
        found = columns(admin, entity.name)
        for name, info in entity.model.model_fields.items():
            if name not in ("unified_id", "source_id", "source_system"):
                said = found[name][1]
                if name == "raw_data":
                    said, _, when = said.partition(" Null where ")
                    assert "compressed" in when
                assert said == info.description
        assert [*found] == [*columns(admin, f"{entity.name}_all")]


def test_amounts_are_numeric_and_times_have_a_zone(admin: psycopg.Connection) -> None:
    for entity in ENTITIES:
        stored = {column.name: column.type for column in TABLES[entity].columns}
        for name, (kind, _) in columns(admin, entity.name).items():
            if name in stored:
                assert kind.replace("timestamp with time zone", "timestamptz") == stored[name], name
    lines = columns(admin, "invoice_lines")
    assert lines["amount"][0] == lines["unit_price"][0] == lines["quantity"][0] == "numeric"
    assert lines["period_start"][0] == "timestamp with time zone"
    assert {*UnifiedLineItem.model_fields} - {"source_id"} < {*lines}


async def test_deleted_records_are_in_the_views_of_all(
    database: Database, admin: psycopg.Connection, stream: StreamKey
) -> None:
    for entity in (CUSTOMERS, INVOICES, RECORDS):
        key = replace(stream, entity=entity, stream=entity.name)
        if entity is not INVOICES:
            await store(database, key, row(key, "kept"), row(key, "gone"))
            await store(database, key, deletions=[Deletion("gone", at(3), at(3))], minute=3)
            assert seen(admin, entity.name) == [("kept", False)]
            assert seen(admin, f"{entity.name}_all") == [("gone", True), ("kept", False)]


async def test_lines_keep_their_amounts_to_the_last_digit(
    database: Database, admin: psycopg.Connection, stream: StreamKey
) -> None:
    admin.execute(
        """
        INSERT INTO unified_invoices (workspace_id, connection_id, source_system, stream, source_id, unified_id,
            schema_version, content_hash, observed_at, synced_at, is_active, total, line_items)
        VALUES (%s, %s, 'stripe', 'invoices', 'in_1', gen_random_uuid(), '1.1.0', 1, now(), now(), true,
            12345678901234567.89, '[{"source_id": "il_1", "unit_price": "0.000000000001"}]')
        """,
        (stream.workspace_id, stream.connection_id),
    )
    assert admin.execute("SELECT total FROM data.invoices").fetchone() == (Decimal("12345678901234567.89"),)
    lines = admin.execute("SELECT invoice_id, line_number, unit_price FROM data.invoice_lines").fetchall()
    assert lines == [("in_1", 1, Decimal("0.000000000001"))]


def test_a_stream_of_records_has_its_own_and_loses_it_with_the_stream(
    database_url: str, admin: psycopg.Connection
) -> None:
    before = views(admin)
    migrate(database_url, [STRIPE])
    assert views(admin) - before == {"stripe_deals", "stripe_deals_all"}
    migrate(database_url, [replace(STRIPE, record_streams=[])])
    assert views(admin) == before


async def test_a_derived_table_has_one_that_follows_its_columns(
    database: Database,
    database_url: str,
    admin: psycopg.Connection,
    workspace: UUID,
    add_connection: AddConnection,
) -> None:
    connection = await Registry(database).get_connection(workspace, await add_connection(workspace))
    table = derived.table_name(["mine"])
    await derived.replace(database, table, connection, ["n"], [(1,)])
    assert columns(admin, table)["n"][0] == "bigint"
    await derived.replace(database, table, connection, ["n", "b"], [(Decimal("1.5"), "x")])
    assert columns(admin, table)["n"][0] == "numeric"
    assert admin.execute(f"SELECT n, b FROM data.{table}").fetchall() == [(Decimal("1.5"), "x")]  # noqa: S608
    admin.execute(f"DROP VIEW data.{table}".encode())
    migrate(database_url, [STRIPE])
    assert table in views(admin)


def test_a_view_with_other_columns_is_made_anew_unless_something_stands_on_it(
    database_url: str, admin: psycopg.Connection
) -> None:
    admin.execute("CREATE OR REPLACE VIEW data.stale AS SELECT 1 AS one")
    admin.execute("DROP VIEW data.customers")
    admin.execute("CREATE VIEW data.customers AS SELECT 1 AS one")
    admin.execute("CREATE VIEW mine AS SELECT one FROM data.customers")
    with pytest.raises(DataViewError, match=r"data\.customers .* view mine depends on view data\.customers"):
        migrate(database_url, [STRIPE])
    admin.execute("DROP VIEW mine")
    migrate(database_url, [STRIPE])
    assert "source_id" in columns(admin, "customers")
    assert "stale" not in views(admin)


def test_none_lends_its_owners_rights_and_none_is_open_to_others(admin: psycopg.Connection) -> None:
    found = admin.execute(
        "SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'data'::regnamespace AND relkind = 'v'"
    ).fetchall()
    assert {name for name, _ in found} == views(admin)
    assert {tuple(options or ()) for _, options in found} == {("security_invoker=true",)}
    granted = admin.execute(
        """
        SELECT DISTINCT grantee, privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = 'data' AND grantee <> 'unified_owner'
        """
    ).fetchall()
    assert granted == [("unified_reader", "SELECT")]


def test_a_schema_of_somebody_else_is_left_alone(database_url: str, admin: psycopg.Connection) -> None:
    admin.execute(f"DROP SCHEMA {DATA_SCHEMA} CASCADE".encode())
    admin.execute(f"CREATE SCHEMA {DATA_SCHEMA}".encode())
    with pytest.raises(RoleError, match="has a schema data of postgres"):
        migrate(database_url, [STRIPE])
