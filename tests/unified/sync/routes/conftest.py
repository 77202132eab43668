"""A pair of systems, small and quick, in a workspace of a shared database."""

import time
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unified.sync.conftest import COMMON, SETTINGS
from tests.unified.sync.routes.pair import Pair
from tests.unified.sync.source import KEYS, HubSpotSource, StripeSource
from unified.sandbox.hubspot import HubSpotSandbox, PortalSpec
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces


@pytest_asyncio.fixture
async def pair(database: Database) -> AsyncIterator[Pair]:
    """``acme/billing`` at Stripe and ``acme/crm`` at HubSpot, both empty."""
    began = time.time() - 86_400
    stripe = StripeSandbox(
        customers=0, invoices=0, now=began, limits=None, api_keys={KEYS["stripe"]: AccountSpec()}
    )
    hubspot = HubSpotSandbox(
        contacts=0, companies=0, invoices=0, now=began, limits=None, api_keys={KEYS["hubspot"]: PortalSpec()}
    )
    with SandboxServer(stripe=stripe, hubspot=hubspot) as server:
        for sandbox in (stripe, hubspot):
            sandbox.clock.advance(days=1)
        registry = Registry(database)
        workspace = await workspaces.create(database, "acme")
        master_key = generate_key()
        sources = []
        for kind, name, sandbox in ((StripeSource, "billing", stripe), (HubSpotSource, "crm", hubspot)):
            connector = kind.__name__.removesuffix("Source").lower()
            settings = {"base_url": f"{server.url}/{connector}", **COMMON, **SETTINGS[connector]}
            connection = await registry.add_connection(workspace.id, connector, name, settings)
            source = kind(database, connection, sandbox, master_key)
            await source.use_key(KEYS[connector])
            sources.append(source)
        yield Pair(*sources)
