"""A real server on a real port, before a real database, in the test's own event loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet

from tests.plans import Plans, explained
from tests.waiting import LIMIT_SECONDS
from unified.api.server import listen, webhook_server
from unified.api.settings import Settings
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.inbox.endpoints import Endpoint, Endpoints
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider

if TYPE_CHECKING:
    from uuid import UUID

    from unified.store.database import Database

SECRET = "whsec_fake_of_the_tests"
PROVIDER = LocalKeyProvider([Fernet.generate_key().decode()])


@dataclass
class Ingress:
    """A running server and an endpoint of Stripe's behind it."""

    db: Database
    url: str
    endpoint: Endpoint
    client: httpx.AsyncClient
    path: str = field(init=False)

    def __post_init__(self) -> None:
        self.path = f"/webhooks/stripe/{self.endpoint.path}"

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        return url.host, url.port or 80

    async def deliver(self, event_id: str, **fields: Any) -> httpx.Response:
        """An event as Stripe would send it."""
        body = stripe_event(event_id, **fields)
        return await self.client.post(self.path, content=body, headers=signed(body))

    async def raw(self, request: bytes) -> bytes:
        """Send bytes, and read until the server closes or has answered."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return answer + await reader.readexactly(length)
        finally:
            writer.close()

    async def stored(self) -> list[str]:
        """Keys of the events in the inbox, as often as they are there."""
        async with self.db.workspace(self.endpoint.workspace_id) as conn:
            rows = await conn.execute("SELECT event_key FROM webhook_inbox ORDER BY event_key")
            return [key for (key,) in await rows.fetchall()]


def stripe_event(event_id: str, **fields: Any) -> bytes:
    event = {"id": event_id, "object": "event", "type": "customer.updated", "created": int(time.time())}
    return json.dumps({**event, "data": {"object": {"id": "cus_1", "object": "customer"}}, **fields}).encode()


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Stripe's signature of a body."""
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={moment},v1={digest}"}


# One explanation for each statement, however many of these tests ask it: they are many, before the same application.
_EXPLAINED: set[str] = set()


@pytest.fixture(autouse=True)
def plans() -> Iterator[Plans]:
    """Whatever the API, the pages and the ingress ask has an index to go by where a table may be large."""
    with explained(_EXPLAINED) as looked_at:
        yield looked_at
    assert looked_at.lacking == {}, "\n".join(f"{why} :: {text}" for text, why in looked_at.lacking.items())


AddEndpoint = Callable[..., Awaitable[Endpoint]]
Serve = Callable[..., Any]


@pytest.fixture
def add_endpoint(database: Database, workspace: UUID) -> AddEndpoint:
    """Adds a connection of a given connector with an endpoint that has a secret."""

    async def add(connector: str = "stripe", secret: str = SECRET, **settings: Any) -> Endpoint:
        connection = await Registry(database).add_connection(
            workspace, connector, f"{connector}-{time.monotonic_ns()}"
        )
        endpoints = Endpoints(database, CredentialStore(database, PROVIDER))
        endpoint = await endpoints.create(connection, **settings)
        await endpoints.rotate(endpoint, Secret(secret))
        return endpoint

    return add


@pytest.fixture
def serve(database: Database, add_endpoint: AddEndpoint) -> Serve:
    """Runs a server with given settings for the length of a block."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Ingress]:
        endpoint = await add_endpoint()
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = webhook_server(database, PROVIDER, Settings(**{"public_url": url, **settings}))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient(
            base_url=url, limits=httpx.Limits(max_connections=500), timeout=LIMIT_SECONDS
        ) as client:
            try:
                yield Ingress(database, url, endpoint, client)
            finally:
                server.should_exit = True
                await running

    return run


@pytest_asyncio.fixture
async def ingress(serve: Serve) -> AsyncIterator[Ingress]:
    """A running server with the settings that it ships with."""
    async with serve() as running:
        yield running
