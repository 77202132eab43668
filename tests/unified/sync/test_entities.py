"""Streams of an installed connector that share entities, from its entry point to tables, views, checks and frames."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from psycopg import sql

from tests.conftest import migrated_database
from tests.streams import key_of
from tests.unified.sync.conftest import COMMON, SETTINGS
from tests.unified.sync.desk import Desk, DeskAdapter
from tests.unified.sync.source import KEYS, StripeSource
from unified.cli.installation import migrate_database
from unified.kit import registry
from unified.kit.factory import AdapterFactory
from unified.kit.mapping.rules import Rule
from unified.kit.secrets import Secret
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.store import removal
from unified.store.connections import field_rules, statistics
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError
from unified.store.records import rejects
from unified.store.routes import runs
from unified.store.routes.routes import Routes
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key
from unified.store.secrets.opening import StoredConnections
from unified.store.workspaces import workspaces
from unified.sync.connection import sync_connection, sync_stream
from unified.sync.remapping.remap import remap
from unified.sync.routes.preview import preview_route
from unified.sync.routes.run import run_route
from unified_assets.observing.checks import evaluate
from unified_assets.sources import source_assets


@dataclass
class Case:
    """A connection ``acme/desk`` to the system, and what to ask of its rows."""

    db: Database
    desk: Desk
    connection: Connection
    factory: AdapterFactory
    master_key: str

    async def rows(self, relation: str, columns: str = "stream, source_id, name") -> list[Any]:
        """Live rows as the workspace sees them."""
        query = sql.SQL("SELECT {} FROM {} WHERE deleted_at IS NULL ORDER BY stream, source_id").format(
            sql.SQL(columns), sql.Identifier(relation)
        )
        async with self.db.workspace(self.connection.workspace_id) as conn:
            return await (await conn.execute(query)).fetchall()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector, found by the entry point of a package on the path."""
    metadata = tmp_path / "desk_connector-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: desk-connector\nVersion: 1.0\n")
    target = f"{DeskAdapter.__module__}:{DeskAdapter.__qualname__}"
    (metadata / "entry_points.txt").write_text(f"[unified_assets.adapters]\ndesk = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_ADAPTERS", dict(registry._ADAPTERS))


@pytest.fixture
def database_url(server_url: str, template: str, installed: None) -> Iterator[str]:
    """A database that was migrated with the connector installed."""
    with migrated_database(server_url, template) as url:
        migrate_database(url)
        yield url


@pytest_asyncio.fixture
async def case(database_url: str) -> AsyncIterator[Case]:
    async with Database.open(database_url) as db:
        with Desk().served() as desk:
            workspace = await workspaces.create(db, "acme")
            settings = {"base_url": desk.url, "allow_private_hosts": True, "retry_count": 0}
            connection = await Registry(db).add_connection(workspace.id, "desk", "desk", settings)
            master_key = generate_key()
            credentials = CredentialStore(db, LocalKeyProvider([master_key]))
            secret = {"api_key": Secret("desk_fake_key")}
            await credentials.put(workspace.id, connection.id, DeskAdapter.credential_kind, secret)
            desk.put("accounts", {"id": "1", "name": "Acme"}, {"id": "2", "name": "Globex"})
            desk.put(
                "contacts", {"id": "1", "name": "Ann"}, {"id": "2", "name": "Ben"}, {"id": "3", "name": "Cy"}
            )
            desk.put("bills", {"id": "1", "account": "2"})
            desk.put("deals", {"id": "1", "title": "Big", "stage": "won"}, {"id": "2", "title": "Small"})
            desk.put("tickets", {"id": "1", "title": "Help"}, {"id": "9"})
            yield Case(
                db,
                desk,
                connection,
                AdapterFactory(StoredConnections(Registry(db), credentials, actor="test")),
                master_key,
            )


async def test_streams_of_one_entity_share_a_table_and_nothing_else(case: Case) -> None:
    results = {each.stream: each for each in await sync_connection(case.db, case.factory, case.connection)}
    assert {name: (each.read, each.inserted, each.rejected) for name, each in results.items()} == {
        "accounts": (2, 2, 0),
        "contacts": (3, 3, 0),
        "bills": (1, 1, 0),
        "deals": (2, 2, 0),
        "tickets": (2, 1, 1),
    }
    assert await case.rows("unified_customers") == [
        ("accounts", "1", "Acme"),
        ("accounts", "2", "Globex"),
        ("contacts", "1", "Ann"),
        ("contacts", "2", "Ben"),
        ("contacts", "3", "Cy"),
    ]
    assert await case.rows("unified_records") == [
        ("deals", "1", "Big"),
        ("deals", "2", "Small"),
        ("tickets", "1", "Help"),
    ]
    view = await case.rows("desk_deals", "source_id, name, custom_fields, raw_data ->> 'stage'")
    assert view == [("1", "Big", {"stage": "won"}, "won"), ("2", "Small", {}, None)]
    assert await case.rows("desk_tickets") == [("tickets", "1", "Help")]

    # A full refresh of one stream finds a record gone whose id lives on in the other.
    del case.desk.lists["contacts"]["1"]
    del case.desk.lists["deals"]["1"]
    for stream in ("contacts", "deals"):
        assert (await sync_stream(case.db, case.factory, case.connection, stream, full=True)).deleted == 1
    assert [row[:2] for row in await case.rows("unified_customers")] == [
        ("accounts", "1"),
        ("accounts", "2"),
        ("contacts", "2"),
        ("contacts", "3"),
    ]
    assert [row[:2] for row in await case.rows("unified_records")] == [("deals", "2"), ("tickets", "1")]


async def test_rejects_counts_rules_and_remaps_are_a_streams_own(case: Case) -> None:
    await sync_connection(case.db, case.factory, case.connection)
    deals, tickets = (key_of(case.connection, name) for name in ("deals", "tickets"))
    async with case.db.workspace(case.connection.workspace_id) as conn:
        assert [each.source_id for each in await rejects.read(conn, tickets)] == ["9"]
        assert await rejects.read(conn, deals) == []
        (counted,) = await statistics.by_connector(conn, case.connection.created_at)
        live = await statistics.live_records(conn, [case.connection.id])
    assert counted.rows == {"accounts": 2, "contacts": 3, "bills": 1, "deals": 2, "tickets": 1}
    assert live == {case.connection.id: 9}

    await field_rules.put(
        case.db, case.connection, "deals", Rule(source="title", target="custom_fields.label")
    )
    done = {each.stream: each for each in await remap(case.db, case.connection)}
    assert (done["deals"].updated, done["tickets"].updated, done["contacts"].updated) == (2, 0, 0)
    assert await case.rows("unified_records", "name, custom_fields ->> 'label'") == [
        ("Big", "Big"),
        ("Small", "Small"),
        ("Help", None),
    ]
    case.desk.put("tickets", {"id": "9", "title": "Now it has one"})
    await sync_stream(case.db, case.factory, case.connection, "tickets")
    async with case.db.workspace(case.connection.workspace_id) as conn:
        assert await rejects.read(conn, tickets) == []


async def test_an_invoice_finds_its_customer_in_the_stream_that_it_names(case: Case) -> None:
    """The bill names account 2, which no list shows; contact 2 is somebody else."""
    hidden = case.desk.lists["accounts"].pop("2")
    await sync_connection(case.db, case.factory, case.connection, streams=["accounts", "contacts"])
    case.desk.put("accounts", hidden)
    await sync_connection(case.db, case.factory, case.connection, streams=["bills"])
    assert ("accounts", "2", "Globex") in await case.rows("unified_customers")
    bills = DeskAdapter.stream("bills")
    result = await sync_stream(case.db, case.factory, case.connection, "bills")
    checked = {each.check_name: each for each in await evaluate(case.db, case.connection, bills, result)}
    assert set(checked) == {"conservation", "source_count", "no_orphans"}
    assert all(each.passed for each in checked.values())


async def test_what_a_connection_brought_goes_with_it(case: Case) -> None:
    await sync_connection(case.db, case.factory, case.connection)
    await removal.remove_connection(case.db, case.connection.workspace_id, case.connection.id, actor="ann")
    for relation in ("unified_customers", "unified_invoices", "unified_records", "desk_deals"):
        assert await case.rows(relation, "source_id") == []


def test_each_stream_is_an_asset_and_those_of_an_entity_name_one_table() -> None:
    assets = {asset.key.to_user_string(): asset for asset in source_assets(DeskAdapter)}
    assert list(assets) == ["desk/accounts", "desk/contacts", "desk/bills", "desk/deals", "desk/tickets"]
    tables = {key: asset.metadata_by_key[asset.key]["dagster/table_name"] for key, asset in assets.items()}
    assert tables == {
        "desk/accounts": "unified_customers_desk",
        "desk/contacts": "unified_customers_desk",
        "desk/bills": "unified_invoices_desk",
        "desk/deals": "unified_records_desk",
        "desk/tickets": "unified_records_desk",
    }
    (dependency,) = assets["desk/bills"].dependency_keys
    assert dependency.to_user_string() == "desk/accounts"


# Routes ------------------------------------------------------------------------------------------


def names_in(billing: StripeSource) -> set[str]:
    return {str(one["name"]) for one in billing.data.all_customers()}


@pytest_asyncio.fixture
async def billing(case: Case) -> AsyncIterator[StripeSource]:
    """A connection ``acme/billing`` to an empty Stripe account."""
    stripe = StripeSandbox(customers=0, invoices=0, limits=None, api_keys={KEYS["stripe"]: AccountSpec()})
    with SandboxServer(stripe=stripe) as server:
        settings = {"base_url": f"{server.url}/stripe", **COMMON, **SETTINGS["stripe"]}
        connection = await Registry(case.db).add_connection(
            case.connection.workspace_id, "stripe", "billing", settings
        )
        source = StripeSource(case.db, connection, stripe, case.master_key)
        await source.use_key(KEYS["stripe"])
        yield source


async def test_a_route_leads_from_one_stream_and_heeds_its_changes_alone(
    case: Case, billing: StripeSource
) -> None:
    routes = Routes(case.db)
    await sync_connection(case.db, case.factory, case.connection)
    people = await routes.add("people", case.connection, billing.connection, from_stream="contacts")
    result = await run_route(case.db, case.factory, people)
    assert (result.looked_at, result.created) == (3, 3)
    assert names_in(billing) == {"Ann", "Ben", "Cy"}
    async with case.db.workspace(people.workspace_id) as conn:
        rows = await conn.execute("SELECT DISTINCT source_stream, target_stream FROM pushed_records")
        assert await rows.fetchall() == [("contacts", "customers")]

    async def due() -> list[str]:
        return [one.name for one in await runs.due(case.db, (await case.db.clock())())]

    case.desk.put("accounts", {"id": "1", "name": "Acme Inc"})
    await sync_connection(case.db, case.factory, case.connection)
    assert await due() == []
    case.desk.put("contacts", {"id": "2", "name": "Bea"})
    await sync_connection(case.db, case.factory, case.connection)
    assert await due() == ["people"]
    result = await run_route(case.db, case.factory, people)
    assert (result.looked_at, result.updated) == (1, 1)
    assert names_in(billing) == {"Ann", "Bea", "Cy"}
    # Where none is named, it is the connector's first one; between the same connections there may be both.
    companies = await routes.add("companies", case.connection, billing.connection)
    assert (companies.source_stream, companies.target_stream) == ("accounts", "customers")
    assert {one.record_id: one.name for one in await preview_route(case.db, case.factory, companies)} == {
        "1": "Acme Inc",
        "2": "Globex",
    }


async def test_a_stream_that_is_not_there_is_refused_with_those_that_are(
    case: Case, billing: StripeSource
) -> None:
    routes = Routes(case.db)
    ends = case.connection, billing.connection
    with pytest.raises(
        InvalidSettingError, match="no stream of customers 'deals'; it has accounts, contacts"
    ):
        await routes.add("x", *ends, from_stream="deals")
    with pytest.raises(InvalidSettingError, match="no stream of customers 'contacts'; it has customers"):
        await routes.add("x", *ends, to_stream="contacts")
    with pytest.raises(InvalidSettingError, match="desk takes no contacts"):
        await routes.add("x", billing.connection, case.connection, to_stream="contacts")
    await routes.add("people", *ends, from_stream="contacts")
    with pytest.raises(DuplicateNameError, match=r"from acme/desk \(contacts\) to acme/billing"):
        await routes.add("again", *ends, from_stream="contacts")
    with pytest.raises(DuplicateNameError, match="a route 'people'"):
        await routes.add("people", *ends)
