"""The API over ASGI before a real database and the stand-in for Stripe, and tenants who use it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from starlette.types import ASGIApp

from tests.conftest import migrated_database
from unified.api.management.app import management_api, open_services
from unified.api.metrics import Metrics
from unified.api.settings import ManagementSettings, Settings
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.database import Database
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS, SCOPES, Role

PROVIDER = LocalKeyProvider([Fernet.generate_key().decode()])
STRIPE_KEY = "sk_test_fake_acme"
CONFIGS = "/api/connectors/configs"


@dataclass(frozen=True)
class Tenant:
    """A workspace, and whoever uses it by a token."""

    api: "Api"
    id: UUID
    slug: str
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """What a request is answered; None where there is nothing."""
        response = await self.client.request(method, path, **options)
        assert response.status_code == status, (method, path, response.status_code, response.text)
        return response.json() if response.content else None

    async def add(self, name: str = "main", connector: str = "stripe", **fields: Any) -> dict[str, Any]:
        """A connection to the stand-in."""
        settings = {
            "base_url": f"{self.api.sandbox_url}/stripe",
            "allow_private_hosts": True,
            "retry_count": 0,
        }
        body = {"connector": connector, "name": name, "settings": settings, **fields}
        added: dict[str, Any] = await self.ask("POST", CONFIGS, 201, json=body)
        return added

    async def give_key(self, connection: dict[str, Any], key: str = STRIPE_KEY) -> None:
        """Store the connection's credentials."""
        fields = {"fields": {"api_key": key}}
        await self.ask("PUT", f"{CONFIGS}/{connection['id']}/credentials", json=fields)

    async def audited(self) -> list[str]:
        """Actions in the audit log, the oldest first."""
        async with self.api.db.workspace(self.id) as conn:
            rows = await conn.execute("SELECT action FROM audit_log ORDER BY id")
            return [action for (action,) in await rows.fetchall()]


@dataclass(frozen=True)
class Api:
    """The running API."""

    db: Database
    app: ASGIApp
    sandbox_url: str
    stack: AsyncExitStack

    async def tenant(self, slug: str, **settings: Any) -> Tenant:
        """A new workspace, as its owner sees it; its slug begins so."""
        unique = f"{slug}-{uuid4().hex[:8]}"
        workspace = await workspaces.create(self.db, unique, **settings)
        return await self._enter(workspace.id, unique, PERMISSIONS["owner"])

    async def with_role(self, tenant: Tenant, role: Role) -> Tenant:
        """The same workspace, as somebody of that role sees it."""
        return await self._enter(tenant.id, tenant.slug, PERMISSIONS[role])

    async def _enter(self, workspace_id: UUID, slug: str, scopes: frozenset[str]) -> Tenant:
        _, token = await tokens.create(
            self.db, workspace_id, "of the tests", sorted(SCOPES & scopes), actor="tests"
        )
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://api.test",
            headers={"authorization": f"Bearer {token.reveal()}"},
        )
        return Tenant(self, workspace_id, slug, await self.stack.enter_async_context(client))


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A small stand-in's."""
    with SandboxServer(stripe=StripeSandbox(customers=30, invoices=20, limits=None)) as server:
        yield server.url


@pytest.fixture(scope="module")
def module_database(server_url: str, template: str) -> Iterator[str]:
    """A database that a module's tests share, each with tenants of its own."""
    with migrated_database(server_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def api(module_database: str, sandbox_url: str) -> AsyncIterator[Api]:
    """The API, with the stand-in as the one host that is open to it."""
    settings = Settings(
        public_url="https://hooks.example.com",
        management=ManagementSettings(
            open_hosts=frozenset({sandbox_url.removeprefix("http://")}),
            dagster_url="https://dagster.example.com",
            rate=10_000,
        ),
    )
    async with Database.open(module_database) as db, AsyncExitStack() as stack:
        app = management_api(open_services(db, PROVIDER, settings), Metrics(db))
        yield Api(db, app, sandbox_url, stack)


@pytest_asyncio.fixture
async def acme(api: Api) -> Tenant:
    """A workspace."""
    return await api.tenant("acme")
