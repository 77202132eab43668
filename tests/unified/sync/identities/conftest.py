"""A database of these tests' own, and in it a workspace for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.conftest import migrated_database
from tests.unified.sync.identities.tenant import Tenant
from unified.store.database import Database

NewTenant = Callable[[], Awaitable[Tenant]]


@pytest.fixture(scope="module")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """One database for a module's tests; workspaces keep them apart."""
    with migrated_database(server_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    async with Database.open(database_url) as opened:
        yield opened


@pytest.fixture
def new_tenant(database: Database) -> NewTenant:
    """Makes another workspace."""

    async def make() -> Tenant:
        return await Tenant.create(database, f"t-{uuid4().hex}")

    return make


@pytest_asyncio.fixture
async def tenant(new_tenant: NewTenant) -> Tenant:
    """A workspace with a Stripe and a HubSpot connection."""
    return await new_tenant()
