"""The whole application on a real port, an issuer of JWTs, and tenants who use it: the one harness of these tests."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.conftest import migrated_database
from tests.waiting import LIMIT_SECONDS
from unified.api.server import listen, webhook_server
from unified.api.settings import JwtSettings, ManagementSettings, Settings
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import members, tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS, SCOPES, Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from starlette.types import ASGIApp

    from unified.store.workspaces.rows import Workspace

ISSUER = "https://issuer.example.com"
AUDIENCE = "unified"
ADMIN = "the-admin"

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS = {"rsa": (RSA_KEY, "RS256"), "ec": (EC_KEY, "ES256"), "ed": (ED_KEY, "EdDSA")}

MASTER_KEY = Fernet.generate_key().decode()
PROVIDER = LocalKeyProvider([MASTER_KEY])
STRIPE_KEY = "sk_test_fake_acme"
CONFIGS = "/api/connectors/configs"

_numbers = count()


def public_jwk(kid: str, key: Any, algorithm: str, **fields: Any) -> dict[str, Any]:
    """A key as its issuer publishes it."""
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig", **fields}


@dataclass
class Issuer:
    """Publishes keys over HTTP, and misbehaves on demand."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    delay: float = 0.0
    fetches: int = 0
    location: str = ""

    def publish(self, **keys: Any) -> None:
        listed = [public_jwk(kid, *key) for kid, key in (keys or KEYS).items()]
        self.body = json.dumps({"keys": listed}).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        await asyncio.sleep(self.delay)
        location = f"location: {self.location}\r\n" if self.location else ""
        head = f"HTTP/1.1 {self.status} x\r\n{location}content-length: {len(self.body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + self.body)
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Issuer]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        async with server:
            yield self


def signed(subject: str = "someone", *, kid: str = "rsa", header: Any = None, **claims: Any) -> str:
    """A JWT of the issuer's; a claim that is None is left out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300, **claims}
    key, algorithm = KEYS[kid]
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers={"kid": kid, **(header or {})})


@dataclass(frozen=True)
class Tenant:
    """A workspace, and a user of it with a token."""

    api: Api
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


@dataclass
class Api:
    """A running server, and what to call it with."""

    db: Database
    client: httpx.AsyncClient
    issuer: Issuer
    settings: Settings
    app: ASGIApp
    sandbox_url: str
    stack: AsyncExitStack
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(self.db)

    async def workspace(self, **members_by_subject: Role) -> Workspace:
        made = await workspaces.create(self.db, f"w{next(_numbers)}", owner="founder")
        for subject, role in members_by_subject.items():
            await members.add(self.db, made.id, subject, role, actor="test")
        return made

    async def token(self, workspace: Workspace, *scopes: str, role: Role | None = None) -> str:
        chosen = PERMISSIONS[role] & SCOPES if role else set(scopes)
        made = await tokens.create(self.db, workspace.id, "test", sorted(chosen), actor="test")
        return made[1].reveal()

    async def call(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        workspace: Workspace | str | None = None,
        headers: dict[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """Send a request; ``token`` is an API token or a JWT."""
        named = {"x-workspace": getattr(workspace, "slug", workspace)} if workspace else {}
        shown = {"authorization": f"Bearer {token}"} if token else {}
        return await self.client.request(
            method, path, headers={**named, **shown, **(headers or {})}, **request
        )

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
            base_url=self.client.base_url,
            headers={"authorization": f"Bearer {token.reveal()}"},
            timeout=LIMIT_SECONDS,
        )
        return Tenant(self, workspace_id, slug, await self.stack.enter_async_context(client))


@asynccontextmanager
async def running(server_url: str, template: str, sandbox_url: str) -> AsyncIterator[Api]:
    """The server as it ships, but for the rate, before a database of its own."""
    issuer = Issuer()
    issuer.publish()
    with migrated_database(server_url, template) as url:
        async with Database.open(url) as db, issuer.serving(), serving(db, issuer, sandbox_url) as api:
            yield api


@asynccontextmanager
async def serving(db: Database, issuer: Issuer, sandbox_url: str = "", **settings: Any) -> AsyncIterator[Api]:
    """The server with settings of one's own; the stand-in is the one host that is open to it."""
    usual = {
        "jwt": JwtSettings(ISSUER, AUDIENCE, issuer.url),
        "admin_subjects": frozenset({ADMIN}),
        "open_hosts": frozenset({sandbox_url.removeprefix("http://")}),
        "dagster_url": "https://dagster.example.com",
        "rate": 10_000,
        "burst": 40_000,
    }
    chosen = Settings(
        public_url="https://hooks.example.com", management=ManagementSettings(**{**usual, **settings})
    )
    with listen("127.0.0.1", 0) as listener:
        server = webhook_server(db, PROVIDER, chosen)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        limits = httpx.Limits(max_connections=200)
        async with (
            httpx.AsyncClient(base_url=url, limits=limits, timeout=LIMIT_SECONDS) as client,
            AsyncExitStack() as stack,
        ):
            try:
                yield Api(db, client, issuer, chosen, server.config.app, sandbox_url, stack)
            finally:
                server.should_exit = True
                await running
