"""A workspace connected to systems that were written from the providers' documentation alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.unified.api.management.rig import MASTER_KEY
from tests.unified.sync.conftest import COMMON, SETTINGS
from tests.unified.sync.source import KEYS, HubSpotSource, Source, StripeSource
from tests.unified.sync.stories.systems import Systems, served
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.routes import review
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings
from unified.store.workspaces import workspaces
from unified.sync.routes.push import RouteResult
from unified.sync.routes.run import run_route


@dataclass
class Told:
    """``acme/billing`` at Stripe, ``acme/crm`` at HubSpot, and what both hold."""

    db: Database
    systems: Systems
    billing: Source
    crm: Source

    @property
    def factory(self) -> AdapterFactory:
        return self.billing.factory

    async def sync(self) -> None:
        await self.billing.sync()
        await self.crm.sync()

    async def route(self, *, back: bool = False, **settings: Any) -> Route:
        """From Stripe to HubSpot, or ``back``."""
        ends = (self.billing.connection, self.crm.connection)
        source, target = ends[::-1] if back else ends
        return await Routes(self.db).add("crm", source, target, RouteSettings(**settings))

    async def run(self, route: Route) -> RouteResult:
        return await run_route(self.db, self.factory, await Routes(self.db).get(route.workspace_id, route.id))

    async def standing(self, route: Route) -> dict[str, int]:
        async with self.db.workspace(route.workspace_id) as conn:
            return await review.counts(conn, route)


@pytest.fixture
def systems() -> Iterator[Systems]:
    with served() as running:
        yield running


@pytest_asyncio.fixture
async def told(database: Database, systems: Systems) -> Told:
    registry, workspace = Registry(database), await workspaces.create(database, "acme")
    sources = []
    for kind, connector, name in ((StripeSource, "stripe", "billing"), (HubSpotSource, "hubspot", "crm")):
        settings = {"base_url": f"{systems.url}/{connector}", **COMMON, **SETTINGS[connector]}
        connection = await registry.add_connection(workspace.id, connector, name, settings)
        source = kind(database, connection, None, MASTER_KEY)
        await source.use_key(KEYS[connector])
        sources.append(source)
    return Told(database, systems, *sources)
