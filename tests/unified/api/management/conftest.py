"""The whole application on a real port, before a database that a module's tests share, each in its own workspaces."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest_asyncio
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

    import pytest

    from unified.store.workspaces.rows import Workspace

ISSUER = "https://issuer.example.com"
AUDIENCE = "unified"
ADMIN = "the-admin"

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS = {"rsa": (RSA_KEY, "RS256"), "ec": (EC_KEY, "ES256"), "ed": (ED_KEY, "EdDSA")}

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


@dataclass
class Api:
    """A running server, and what to call it with."""

    db: Database
    client: httpx.AsyncClient
    issuer: Issuer
    settings: Settings
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


@asynccontextmanager
async def serving(db: Database, issuer: Issuer, **settings: Any) -> AsyncIterator[Api]:
    """The server with settings of one's own."""
    of_jwts = JwtSettings(ISSUER, AUDIENCE, issuer.url)
    usual = {"jwt": of_jwts, "admin_subjects": frozenset({ADMIN}), "rate": 10_000, "burst": 40_000}
    chosen = Settings(management=ManagementSettings(**{**usual, **settings}))
    with listen("127.0.0.1", 0) as listener:
        provider = LocalKeyProvider([Fernet.generate_key().decode()])
        server = webhook_server(db, provider, chosen)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(
            base_url=url, limits=httpx.Limits(max_connections=200), timeout=LIMIT_SECONDS
        ) as client:
            yield Api(db, client, issuer, chosen)
        server.should_exit = True
        await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server_url: str, template: str) -> AsyncIterator[Api]:
    """The server as it ships, but for the rate."""
    issuer = Issuer()
    issuer.publish()
    with migrated_database(server_url, template) as url:
        async with Database.open(url) as db, issuer.serving(), serving(db, issuer) as running:
            yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what schemathesis collects ids of its own: xdist runs one test of each id."""
    for item in items:
        if (label := getattr(item, "operation_label", None)) and item.id.params is None:
            item._id = item.id.with_params(label)
