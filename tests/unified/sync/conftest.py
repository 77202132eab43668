"""Connections under test, each with a stand-in of its own, in the workspace ``acme`` of a shared database."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import migrated_database
from tests.plans import Plans, explained
from tests.unified.sync.oauth import Case
from tests.unified.sync.source import KEYS, HubSpotSource, Source, StripeSource
from unified.sandbox.hubspot import HubSpotSandbox, PortalSpec
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces

# The stand-ins are quick and set no limits unless a test says otherwise.
SETTINGS: dict[str, dict[str, Any]] = {
    "stripe": {"requests_per_second": 10_000},
    "hubspot": {"requests_per_second": 10_000, "searches_per_second": 10_000, "search_lag": 0},
}
COMMON = {"allow_private_hosts": True, "retry_delay": 0, "retry_count": 2}

MakeSource = Callable[..., Awaitable[Source]]


@pytest.fixture(scope="session")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """One database for all of these tests; each leaves no workspace behind, and with it goes all else."""
    with migrated_database(server_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    async with Database.open(database_url) as opened:
        yield opened
        for workspace in await workspaces.listed(opened):
            await removal.delete_workspace(opened, workspace.id)


# One explanation for each statement, however many of these tests run it.
_EXPLAINED: set[str] = set()


@pytest.fixture
def known() -> set[str]:
    """Statements that were explained before; a file about plans has none."""
    return _EXPLAINED


@pytest.fixture(autouse=True)
def plans(known: set[str]) -> Iterator[Plans]:
    """Every statement of these tests has an index to go by where a table may be large."""
    with explained(known) as looked_at:
        yield looked_at
    assert looked_at.lacking == {}


@pytest.fixture
def source_of(database: Database) -> Iterator[MakeSource]:
    """Connects ``acme/main`` to a new stand-in of a kind and size.

    The stand-in's clock stands still at the present, or so many days ``behind``. Its data are a day older. It has an
    account of its own for each of ``more`` keys.
    """
    servers: list[SandboxServer] = []

    async def make(
        connector: str, *, behind: float = 0, db: Database = database, more: Sequence[str] = (), **size: Any
    ) -> Source:
        began = time.time() - (behind + 1) * 86_400
        key = KEYS[connector]
        sandbox: StripeSandbox | HubSpotSandbox
        if connector == "stripe":
            sandbox = StripeSandbox(
                **{"customers": 250, "invoices": 120, **size},
                now=began,
                limits=None,
                api_keys={one: AccountSpec() for one in (key, *more)},
            )
            server = SandboxServer(stripe=sandbox)
        else:
            sandbox = HubSpotSandbox(
                **{"contacts": 450, "companies": 20, "invoices": 60, **size},
                now=began,
                limits=None,
                api_keys={one: PortalSpec() for one in (key, *more)},
            )
            server = SandboxServer(hubspot=sandbox)
        sandbox.clock.advance(days=1)
        servers.append(server.__enter__())
        registry = Registry(db)
        workspace = await workspaces.create(db, "acme")
        settings = {"base_url": f"{server.url}/{connector}", **COMMON, **SETTINGS[connector]}
        connection = await registry.add_connection(workspace.id, connector, "main", settings)
        kind = StripeSource if connector == "stripe" else HubSpotSource
        source = kind(db, connection, sandbox, generate_key())
        await source.use_key(key)
        return source

    yield make
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(params=["stripe", "hubspot"])
async def source(request: pytest.FixtureRequest, source_of: MakeSource) -> Source:
    """A connection to each of the two kinds."""
    return await source_of(request.param)


@pytest.fixture
async def stripe(source_of: MakeSource) -> Source:
    """A connection to Stripe's stand-in."""
    return await source_of("stripe")


@pytest.fixture
async def hubspot(source_of: MakeSource) -> Source:
    """A connection to HubSpot's stand-in."""
    return await source_of("hubspot")


@pytest_asyncio.fixture
async def case(database: Database) -> AsyncIterator[Case]:
    """A HubSpot connection that is authorized by OAuth, with an app of its own."""
    key = KEYS["hubspot"]
    sandbox = HubSpotSandbox(contacts=450, companies=5, invoices=0, limits=None, api_keys={key: PortalSpec()})
    with SandboxServer(hubspot=sandbox) as server:
        registry = Registry(database)
        workspace = await workspaces.create(database, "acme")
        settings = {"base_url": f"{server.url}/hubspot", **COMMON, **SETTINGS["hubspot"]}
        connection = await registry.add_connection(workspace.id, "hubspot", "crm", settings)
        case = Case(database, connection, sandbox, generate_key())
        await case.authorize()
        sandbox.oauth.calls.clear()
        sandbox.stats.reset()
        yield case
