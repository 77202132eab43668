"""Views of streams: made and dropped as connectors come and go, and as isolated as the table that they read."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql

from tests.conftest import AddConnection, AddWorkspace
from tests.unified.store.records.test_streams import row, store
from unified.schema.entities import RECORDS
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.migrate import migrate
from unified.store.records.tables import StreamKey
from unified.store.records.views.streams import ViewError
from unified.store.server.roles import APP_ROLE, READER_ROLE

STRIPE = ConnectorEntry("stripe", "Stripe", ("READ",), ("customers", "deals"), ("deals", "tickets"))


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


def views(admin: psycopg.Connection) -> set[str]:
    found = admin.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    own = {"unified_invoice_lines", "identity_pairs", "customer_key_fields"}
    return {name for (name,) in found.fetchall()} - own


def test_migrate_keeps_views_equal_to_what_is_declared(database_url: str, admin: psycopg.Connection) -> None:
    assert views(admin) == set(), "none for customers, invoices and events"
    migrate(database_url, [STRIPE])
    assert views(admin) == {"stripe_deals", "stripe_tickets"}
    migrate(database_url, [STRIPE])
    other = ConnectorEntry("shop", "Shop", ("READ",), ("orders",), ("orders",))
    migrate(database_url, [replace(STRIPE, record_streams=["deals"]), other])
    assert views(admin) == {"stripe_deals", "shop_orders"}
    migrate(database_url, [other])
    assert views(admin) == {"shop_orders"}, "those of a connector that is gone are gone"


@pytest.mark.parametrize(
    ("connector", "stream", "reason"),
    [
        ("sync", "history", "sync/history needs the view sync_history, but a table or view has that name"),
        ("users", "own", "users/own needs the view users_own"),
        ("a" * 30, "b" * 40, "longer than 63 bytes"),
    ],
)
def test_a_name_that_is_taken_is_left_alone(
    database_url: str, admin: psycopg.Connection, connector: str, stream: str, reason: str
) -> None:
    admin.execute("CREATE VIEW users_own AS SELECT 1 AS one")
    with pytest.raises(ViewError, match=reason):
        migrate(database_url, [ConnectorEntry(connector, "X", ("READ",), (), (stream,))])
    assert views(admin) == {"users_own"}
    assert admin.execute("SELECT one FROM users_own").fetchall() == [(1,)]
    names = admin.execute("SELECT name FROM connectors WHERE name = %s", (connector,)).fetchall()
    assert names == [], "all or nothing"


def test_two_streams_that_would_share_a_view_are_refused(database_url: str) -> None:
    one = ConnectorEntry("a", "A", ("READ",), (), ("b_c",))
    other = ConnectorEntry("a_b", "B", ("READ",), (), ("c",))
    with pytest.raises(ViewError, match="a_b/c needs the view a_b_c"):
        migrate(database_url, [one, other])


def test_what_a_user_built_on_a_view_is_not_dropped_with_it(
    database_url: str, admin: psycopg.Connection
) -> None:
    migrate(database_url, [STRIPE])
    admin.execute("CREATE VIEW mine AS SELECT source_id FROM stripe_deals")
    with pytest.raises(
        ViewError, match=r"stripe_deals .* view mine depends on view stripe_deals; drop that first"
    ):
        migrate(database_url, [replace(STRIPE, record_streams=[])])
    assert views(admin) == {"stripe_deals", "stripe_tickets", "mine"}
    migrate(database_url, [STRIPE])  # which changes nothing that others depend on


async def test_a_view_shows_its_own_stream_of_ones_own_workspace(
    database: Database,
    database_url: str,
    stream: StreamKey,
    add_workspace: AddWorkspace,
    add_connection: AddConnection,
) -> None:
    migrate(database_url, [STRIPE])
    theirs_id = await add_workspace("theirs")
    theirs_connection = await add_connection(theirs_id)
    deals = replace(stream, entity=RECORDS, stream="deals")
    theirs = replace(deals, workspace_id=theirs_id, connection_id=theirs_connection)
    await store(database, deals, row(deals, "1", name="ours"))
    await store(database, replace(deals, stream="tickets"), row(deals, "1", name="a ticket"))
    await store(database, theirs, row(theirs, "1", name="theirs"))

    async with database.workspace(stream.workspace_id) as conn:
        found = await conn.execute("SELECT source_id, name, deleted_at, raw_data FROM stripe_deals")
        assert await found.fetchall() == [("1", "ours", None, {})]
        tried = await conn.execute("SELECT 1 FROM stripe_deals WHERE workspace_id = %s", (theirs_id,))
        assert await tried.fetchall() == []
    async with database.workspace(uuid4()) as conn:
        for view in ("stripe_deals", "stripe_tickets", "unified_records", "unified_records_stripe"):
            found = await conn.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(view)))
            assert await found.fetchall() == [], view
    for statement in (
        "UPDATE stripe_deals SET name = 'x'",
        "DELETE FROM stripe_deals",
        "INSERT INTO stripe_deals (source_id) VALUES ('2')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            async with database.workspace(stream.workspace_id) as conn:
                await conn.execute(statement.encode())
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.scheduler() as conn:
            await conn.execute("SELECT 1 FROM stripe_deals")
    with psycopg.connect(database_url) as admin:
        granted = admin.execute(
            """
            SELECT DISTINCT grantee::text, privilege_type::text FROM information_schema.role_table_grants
            WHERE table_name = 'stripe_deals' AND grantee <> 'unified_owner'
            """
        ).fetchall()
        options = admin.execute("SELECT reloptions FROM pg_class WHERE relname = 'stripe_deals'").fetchone()
    assert sorted(granted) == [(APP_ROLE, "SELECT"), (READER_ROLE, "SELECT")]
    assert options == (["security_invoker=true"],)
