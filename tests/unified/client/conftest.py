"""The API before a database, and clients of every kind that read it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.unified.api.management.rig import Api, running
from unified.client import AsyncClient, AsyncReader, Client, Reader, local, local_async
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.workspaces import tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.unified.api.management.records.shelf import Shelf

KINDS = ("http", "http async", "in process", "in process async")


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A small stand-in's, which connections lead to."""
    with SandboxServer(stripe=StripeSandbox(customers=1, invoices=1, limits=None)) as server:
        yield server.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server_url: str, template: str, sandbox_url: str) -> AsyncIterator[Api]:
    """The server as it ships, but for the rate."""
    async with running(server_url, template, sandbox_url) as api:
        yield api


@dataclass
class Reading:
    """A client of any kind, read by the same words."""

    reader: Reader | AsyncReader

    async def all(self, name: str, **query: Any) -> tuple[list[Any], str | None]:
        """Items, and the place to go on at."""
        found = getattr(self.reader, name).all(**query)
        if isinstance(self.reader, AsyncReader):
            return [item async for item in found], found.since
        return await asyncio.to_thread(lambda: (list(found), found.since))

    async def call(self, name: str, method: str, *given: Any, **query: Any) -> Any:
        """What a method of a list returns."""
        bound: Callable[..., Any] = getattr(getattr(self.reader, name), method)
        if isinstance(self.reader, AsyncReader):
            return await bound(*given, **query)
        return await asyncio.to_thread(bound, *given, **query)


@asynccontextmanager
async def reading(kind: str, shelf: Shelf) -> AsyncIterator[Reading]:
    """A client of that kind, of a shelf's workspace."""
    api, slug = shelf.tenant.api, shelf.tenant.slug
    url = str(api.client.base_url)
    scopes = ["records:read", "records:raw"]
    _, token = await tokens.create(api.db, shelf.tenant.id, "client", scopes, actor="tests")
    if kind == "http async":
        async with AsyncClient(url, token.reveal()) as client:
            yield Reading(client)
    elif kind == "in process async":
        async with local_async(slug, database=api.db.url) as client:
            yield Reading(client)
    else:
        reader = (
            Client(url, token.reveal())
            if kind == "http"
            else await asyncio.to_thread(local, slug, database=api.db.url)
        )
        try:
            yield Reading(reader)
        finally:
            await asyncio.to_thread(reader.close)
