"""A HubSpot stand-in on loopback, and adapters that talk to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from adapters.hubspot.adapter import HubSpotAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import build_adapter
from unified.kit.secrets import Secret
from unified.kit.streams import Cursor, Page
from unified.sandbox.faults import Fault
from unified.sandbox.hubspot import HubSpotPortal, HubSpotSandbox
from unified.sandbox.server import SandboxServer

TOKEN = "pat-fake-acme"
# A Wednesday in 2026; the stand-in's clock is there and stands still.
NOW = 1_790_000_000


@dataclass(frozen=True)
class Portal:
    """One portal: its data, its API, and adapters for it."""

    sandbox: HubSpotSandbox
    url: str
    token: str = TOKEN

    @property
    def data(self) -> HubSpotPortal:
        return self.sandbox.account(TOKEN)

    def adapter(self, token: str | None = None, **settings: Any) -> HubSpotAdapter:
        """An adapter whose clock is the stand-in's, not slowed by limits unless settings say so."""
        quick = {
            "requests_per_second": 10_000,
            "searches_per_second": 10_000,
            "retry_delay": 0,
            "search_lag": 0,
        }
        adapter = build_adapter(
            "hubspot",
            {"base_url": self.url, "allow_private_hosts": True, **quick, **settings},
            {"access_token": Secret(token or self.token)},
            ConnectionRef(UUID(int=1), UUID(int=2), "acme/hubspot"),
            clock=lambda: datetime.fromtimestamp(self.sandbox.clock.time(), UTC),
        )
        assert isinstance(adapter, HubSpotAdapter)
        return adapter

    async def pull(self, stream: str, cursor: Cursor | None = None, **settings: Any) -> list[Page]:
        """All pages of one pull."""
        async with self.adapter(**settings) as adapter:
            return [page async for page in adapter.pull(stream, cursor)]

    def change(self, name: str, /, *args: Any, **fields: Any) -> Any:
        """Change data, a minute after whatever was before."""
        self.sandbox.clock.advance(seconds=60)
        return self.sandbox.mutate(name, TOKEN, *args, **fields)

    def fault(self, kind: Any, path: str = "", **how: Any) -> None:
        """Arm a fault."""
        self.sandbox.faults.add(Fault(kind, path, **how))

    def ids(self, kind: Any) -> list[str]:
        """Ids of all live records."""
        return list(self.data.ids(kind))


@pytest.fixture
def portal_of() -> Iterator[Callable[..., Portal]]:
    """Starts stand-ins of a given size."""
    servers: list[SandboxServer] = []

    def start(**size: Any) -> Portal:
        sandbox = HubSpotSandbox(**{"limits": None, "now": NOW, **size})
        server = SandboxServer(hubspot=sandbox).__enter__()
        servers.append(server)
        sandbox.clock.advance(seconds=3600)  # what was generated is not new any more
        return Portal(sandbox, f"{server.url}/hubspot")

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def portal(portal_of: Callable[..., Portal]) -> Portal:
    """A small portal."""
    return portal_of(contacts=450, companies=60, invoices=120)
