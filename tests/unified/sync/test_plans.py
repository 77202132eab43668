"""What finds statements without an index finds them; and the look-ups of routes have one."""

from uuid import UUID

import psycopg
import pytest

from tests.plans import Plans
from unified.schema.entities import CUSTOMERS
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.lists import pages
from unified.store.lists.declared import LISTS
from unified.store.lists.pages import Place, Wanted
from unified.store.records import lookups
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces


@pytest.fixture
def known() -> set[str]:
    """None: what these tests run is looked at, also where another one ran it before."""
    return set()


@pytest.mark.parametrize(
    "condition",
    [
        "lower(email) = ANY(ARRAY['a@example.com'])",
        "right(regexp_replace(phone, '\\D', '', 'g'), 8) = '12345678'",
        "email LIKE 'a@%%'",
        "custom_fields @> '{\"a\": 1}'",
        "raw_data ->> 'id' = 'cus_1'",
        "(custom_fields #>> '{a,b}')::numeric > 1",
    ],
)
@pytest.mark.parametrize("verb", ["SELECT source_id", "DELETE"])
async def test_a_condition_that_row_level_security_keeps_from_an_index_is_found(
    database: Database, plans: Plans, condition: str, verb: str
) -> None:
    workspace = await workspaces.create(database, "acme")
    async with database.workspace(workspace.id) as conn:
        statement = f"{verb} FROM unified_customers WHERE connection_id = %s AND {condition}"
        await conn.execute(statement.encode(), (workspace.id,))
    (found,) = plans.lacking.values()
    assert "unified_customers" in found
    plans.lacking.clear()


async def test_a_table_that_is_read_as_a_whole_is_found(database: Database, plans: Plans) -> None:
    async with database.scheduler() as conn:
        await conn.execute("SELECT count(*) FROM webhook_dead_letters WHERE state = 'dead'")
    assert plans.lacking
    plans.lacking.clear()


# The others are looked up in a table that routes fill: see routes/test_keys.py.
@pytest.mark.parametrize("name", ["email", "tax_number"])
@pytest.mark.parametrize("connector", ["stripe", "hubspot"])
async def test_keys_with_an_index_of_their_own_are_looked_up_by_it(
    database: Database, plans: Plans, name: str, connector: str
) -> None:
    workspace = await workspaces.create(database, "acme")
    key = StreamKey(workspace.id, UUID(int=1), connector, CUSTOMERS, "customers")
    async with database.workspace(workspace.id) as conn:
        assert await lookups.by_key(conn, key, name, ["a", "b"]) == []
    assert [text for text in plans.explained if connector in text]
    assert plans.lacking == {}


@pytest.mark.parametrize("name", LISTS)
async def test_each_list_is_read_by_an_index_in_both_its_orders(
    database: Database, plans: Plans, name: str
) -> None:
    workspace, which = await workspaces.create(database, "acme"), LISTS[name]
    wanted = Wanted(fields=which.usual)
    key = [UUID(int=1) if kind is UUID else "a" for kind in which.key.values()]
    async with database.workspace(workspace.id) as conn:
        begun = await pages.start(conn)
        for after in (None, key):
            assert await pages.in_order(conn, which, wanted, after=after, limit=100) == []
        place = Place.at("0")
        found = await pages.in_order_of_changes(
            conn, which, wanted, after=place, before=begun.horizon, limit=100
        )
        assert found == []
    assert len([text for text in plans.explained if which.table in text]) == 3
    assert plans.lacking == {}


@pytest.mark.parametrize(
    ("name", "filtered"),
    [
        ("customers", {"email": ["Ann@acme.com"]}),
        ("customers", {"email": ["Ann@acme.com", "b@acme.com"]}),
        ("customers", {"tax_number": ["DE1"]}),
        ("customers", {"source_id": ["1", "2"]}),
        ("invoices", {"customer_id": ["1"]}),
    ],
)
async def test_what_a_list_looks_up_is_looked_up_by_an_index(
    database: Database, plans: Plans, name: str, filtered: dict[str, list[str]]
) -> None:
    registry, which = Registry(database), LISTS[name]
    workspace = await workspaces.create(database, "acme")
    await registry.add_connection(workspace.id, "stripe", "main")
    async with database.workspace(workspace.id) as conn:
        wanted = Wanted(fields=which.usual, values=filtered)
        assert await pages.in_order(conn, which, wanted, after=None, limit=100) == []
    (text,) = [text for text in plans.explained if which.table in text]
    assert "connection_id" in text
    assert plans.lacking == {}


async def test_a_page_in_the_middle_reads_no_more_rows_than_it_has(
    database: Database, database_url: str
) -> None:
    which, workspace = LISTS["customers"], await workspaces.create(database, "acme")
    connection = await Registry(database).add_connection(workspace.id, "stripe", "main")
    with psycopg.connect(database_url, autocommit=True) as superuser:
        superuser.execute(
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
                schema_version, content_hash, observed_at, synced_at, is_active, email, changed_xid)
            SELECT %s, %s, 'stripe', 'customers', lpad(n::text, 5, '0'), gen_random_uuid(), '1.1.0', n, now(), now(),
                true, n || '@acme.com', (3 + n / 100)::text::xid8
            FROM generate_series(1, 5000) AS n
            """,
            (workspace.id, connection.id),
        )
        superuser.execute("VACUUM ANALYZE unified_customers")
    some, one = Wanted(fields=which.usual), Wanted(fields=which.usual, values={"email": ["7@ACME.com"]})
    reads: list[int] = []
    for way in ("in order", "in order of changes", "looked up"):
        async with database.workspace(workspace.id) as conn:
            begun = await pages.start(conn)
            if way == "in order of changes":
                found = await pages.in_order_of_changes(
                    conn, which, some, after=Place.at("30"), before=begun.horizon, limit=10
                )
            else:
                after = (connection.id, "02500", "customers") if way == "in order" else None
                wanted = one if way == "looked up" else some
                found = await pages.in_order(conn, which, wanted, after=after, limit=10)
            rows = await conn.execute(
                """
                SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_all_tables
                WHERE relname = 'unified_customers_stripe'
                """
            )
            row = await rows.fetchone()
            assert row is not None
            reads.append(row[0])
            assert len(found) == (1 if way == "looked up" else 10)
    assert max(reads) <= 20, reads
