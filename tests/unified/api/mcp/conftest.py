"""The application with a workspace that has records, and agents that ask it by the official client."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import pytest_asyncio
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.unified.api.management.records.shelf import Shelf
from tests.unified.api.management.rig import STRIPE_KEY, Api, running
from tests.waiting import LIMIT_SECONDS
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.schema.entities import CUSTOMERS
from unified.store.workspaces import tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

READS = ("connections:read", "records:read")
ALL = (*READS, "records:raw", "connections:sync")


@dataclass(frozen=True)
class Asking:
    """An agent with a token."""

    client: Client

    async def ok(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers."""
        result = await self.client.call_tool(f"unified_{tool}", arguments)
        assert not result.is_error, result.content
        return json.loads(_text(result))

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Why a tool refuses, in one line."""
        result = await self.client.call_tool(f"unified_{tool}", arguments)
        assert result.is_error, result.content
        text = _text(result)
        assert "\n" not in text
        return text


def _text(result: Any) -> str:
    (content,) = result.content
    return str(content.text)


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """Small stand-ins."""
    with SandboxServer(
        stripe=StripeSandbox(customers=5, invoices=5, limits=None), hubspot=HubSpotSandbox(contacts=5)
    ) as server:
        yield server.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server_url: str, template: str, sandbox_url: str) -> AsyncIterator[Api]:
    """The server as it ships, but for the rate."""
    async with running(server_url, template, sandbox_url) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelf(api: Api) -> Shelf:
    """A workspace with three records of each entity, and credentials."""
    shelf = await Shelf.of(api, "acme")
    await shelf.fill()
    await shelf.put(CUSTOMERS, "9", email="ada@example.com", name="Ada")
    connection = {"id": str(shelf.connection.id)}
    await shelf.tenant.give_key(connection, STRIPE_KEY)
    return shelf


@asynccontextmanager
async def asking(shelf: Shelf, *scopes: str, mode: str = "auto") -> AsyncIterator[Asking]:
    """An agent, with a token of these scopes."""
    api = shelf.tenant.api
    _, token = await tokens.create(api.db, shelf.tenant.id, "agent", scopes, actor="tests")
    http = httpx2.AsyncClient(
        headers={"authorization": f"Bearer {token.reveal()}"}, timeout=LIMIT_SECONDS, trust_env=False
    )
    url = f"{str(api.client.base_url).rstrip('/')}/mcp"
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        yield Asking(client)
