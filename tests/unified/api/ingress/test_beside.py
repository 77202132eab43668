"""While a provider or an issuer is asked something, the same process takes deliveries and answers probes."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from adapters.stripe.adapter import StripeAdapter
from tests.unified.api.conftest import PROVIDER
from tests.unified.sync.access.test_trials import adapter
from tests.waiting import LIMIT_SECONDS
from unified.api.management.access import jwks
from unified.kit.errors import ConfigurationError
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.routes.routes import Routes
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.access import trials
from unified.sync.errors import RouteError
from unified.sync.routes.preview import preview_aside

if TYPE_CHECKING:
    from uuid import UUID

    from tests.unified.api.conftest import Ingress
    from unified.kit.http.client import HttpClient


async def goes_on(ingress: Ingress, *blocked: asyncio.Task[Any]) -> None:
    """Probes and deliveries are answered while others are blocked."""
    for number in range(3):
        assert (await ingress.client.get("/healthz")).status_code == 200
        assert (await ingress.deliver(f"evt_{number}")).status_code == 200
    assert not any(one.done() for one in blocked)
    assert await ingress.stored() == ["evt_0", "evt_1", "evt_2"]


async def test_an_adapter_that_blocks_stops_neither_deliveries_nor_probes(ingress: Ingress) -> None:
    go_on = threading.Event()
    blocked = [
        asyncio.create_task(trials.account_of(adapter(lambda _: go_on.wait()))) for _ in range(3)
    ]  # several tenants at once
    try:
        await goes_on(ingress, *blocked)
    finally:
        go_on.set()
    await asyncio.gather(*blocked)


async def test_a_preview_whose_system_blocks_stops_neither(
    ingress: Ingress, workspace: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = CredentialStore(ingress.db, PROVIDER)
    ends = []
    for connector, field in (("stripe", "api_key"), ("hubspot", "access_token")):
        connection = await Registry(ingress.db).add_connection(workspace, connector, f"{connector}-end")
        kind = get_adapter(connector).credential_kind
        await credentials.put(workspace, connection.id, kind, {field: Secret("fake")}, actor="test")
        ends.append(await Registry(ingress.db).get_connection(workspace, connection.id))
    route = await Routes(ingress.db).add("over", *ends)
    entered, go_on = threading.Semaphore(0), threading.Event()

    def block(_: StripeAdapter) -> HttpClient:
        entered.release()
        go_on.wait()
        raise ConfigurationError("released")

    monkeypatch.setattr(StripeAdapter, "open_http", block)
    asking = {"actor": "test", "limit": 1, "seconds": LIMIT_SECONDS}
    previews = [
        asyncio.create_task(preview_aside(ingress.db.url, PROVIDER, route, **asking)) for _ in range(2)
    ]
    try:
        for _ in previews:
            assert await asyncio.to_thread(entered.acquire, timeout=LIMIT_SECONDS)
        await goes_on(ingress, *previews)
    finally:
        go_on.set()
    for preview in previews:
        with pytest.raises(RouteError, match="released"):
            await preview


async def test_an_issuer_whose_keys_take_long_to_read_stops_neither(
    ingress: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def read(_: bytes) -> dict[str, jwks.PublicKey]:
        entered.set()
        go_on.wait()
        return {"k": jwks.PublicKey("key", "RS256")}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    monkeypatch.setattr(jwks, "_read", read)
    monkeypatch.setattr(jwks, "FETCH_SECONDS", LIMIT_SECONDS)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        keys = jwks.Jwks(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        found = asyncio.create_task(keys.find("k"))
        try:
            assert await asyncio.to_thread(entered.wait, LIMIT_SECONDS)
            await goes_on(ingress, found)
        finally:
            go_on.set()
        assert (await found).key == "key"
