"""The application before a database that a module's tests share, each in workspaces of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.unified.api.management.rig import Api, Tenant, running
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """A small stand-in's."""
    with SandboxServer(stripe=StripeSandbox(customers=30, invoices=20, limits=None)) as server:
        yield server.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server_url: str, template: str, sandbox_url: str) -> AsyncIterator[Api]:
    """The server as it ships, but for the rate."""
    async with running(server_url, template, sandbox_url) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def acme(api: Api) -> Tenant:
    """A workspace."""
    return await api.tenant("acme")
