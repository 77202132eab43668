"""One running sandbox a module, without rate limits and standing still in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_000_000


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    stripe = StripeSandbox(customers=230, invoices=320, now=NOW, limits=None)
    hubspot = HubSpotSandbox(contacts=230, companies=40, invoices=120, now=NOW, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as running:
        yield running


@pytest.fixture
def stripe(server: SandboxServer) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer sk_test_fake_acme"}
    with httpx.Client(base_url=f"{server.url}/stripe", headers=headers) as client:
        yield client


@pytest.fixture
def hubspot(server: SandboxServer) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer pat-fake-acme"}
    with httpx.Client(base_url=f"{server.url}/hubspot", headers=headers) as client:
        yield client
