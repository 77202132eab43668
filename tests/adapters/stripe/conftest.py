"""A Stripe stand-in on loopback, adapters that talk to it, and a copy that keeps what they bring."""

from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from adapters.stripe.adapter import StripeAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import build_adapter
from unified.kit.secrets import Secret
from unified.kit.streams import Cursor, Page
from unified.sandbox.faults import Fault
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeAccount, StripeSandbox

KEY = "sk_test_fake_acme"
# A Wednesday in 2026; the stand-in's clock is there and stands still.
NOW = 1_790_000_000


@dataclass
class Copy:
    """What a store holds after the pages it was given: records by id, and where to go on."""

    stream: str
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    cursor: Cursor | None = None
    met: list[str] = field(default_factory=list)
    refreshed: dict[datetime | None, set[str]] = field(default_factory=dict)
    rejects: int = 0

    def add(self, page: Page) -> None:
        for record in page.records:
            if record.source_id is None:
                self.rejects += 1
                continue
            self.met.append(record.source_id)
            if page.refresh_started_at:
                self.refreshed.setdefault(page.refresh_started_at, set()).add(record.source_id)
            self.records[record.source_id] = msgspec.json.decode(record.body)
            self.gone.pop(record.source_id, None)
        for tombstone in page.tombstones:
            self.gone[tombstone.source_id] = tombstone.deleted_at
            self.records.pop(tombstone.source_id, None)
        if page.refresh_done:
            alive = self.refreshed.get(page.refresh_started_at, set())
            self.records = {name: record for name, record in self.records.items() if name in alive}
        # Cursors are stored as JSON.
        if page.cursor is not None:
            self.cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))


@dataclass(frozen=True)
class Stripe:
    """One account: its data, its API, and adapters for it."""

    sandbox: StripeSandbox
    url: str

    @property
    def data(self) -> StripeAccount:
        return self.sandbox.account(KEY)

    def adapter(self, key: str = KEY, **settings: Any) -> StripeAdapter:
        """An adapter whose clock is the stand-in's, not slowed by limits unless settings say so."""
        quick = {
            "base_url": self.url,
            "allow_private_hosts": True,
            "requests_per_second": 1e6,
            "retry_delay": 0,
        }
        adapter = build_adapter(
            "stripe",
            {**quick, **settings},
            {"api_key": Secret(key)},
            ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe"),
            clock=lambda: datetime.fromtimestamp(self.sandbox.clock.time(), UTC),
        )
        assert isinstance(adapter, StripeAdapter)
        return adapter

    def copy(self, stream: str) -> Copy:
        return Copy(stream)

    async def sync(self, copy: Copy, *, pages: int | None = None, **settings: Any) -> list[Page]:
        """Pull what is new into a copy; ``pages`` stops early, as a killed run does."""
        seen: list[Page] = []
        copy.met.clear()
        async with (
            self.adapter(**settings) as adapter,
            aclosing(adapter.pull(copy.stream, copy.cursor)) as source,
        ):
            async for page in source:
                copy.add(page)
                seen.append(page)
                if len(seen) == pages:
                    break
        return seen

    async def loaded(self, stream: str) -> Copy:
        """A copy after a first load a minute ago, when nothing had happened at the source for a day."""
        copy = Copy(stream)
        self.sandbox.clock.advance(days=1)
        await self.sync(copy)
        self.sandbox.clock.advance(seconds=60)
        self.sandbox.stats.reset()
        return copy

    def change(self, name: str, /, *args: Any, **fields: Any) -> Any:
        return self.sandbox.mutate(name, KEY, *args, **fields)

    def fault(self, kind: Any, path: str = "", **how: Any) -> None:
        self.sandbox.faults.add(Fault(kind, path, **how))

    def oracle(self, stream: str) -> dict[str, dict[str, Any]]:
        """What a complete copy holds."""
        records = {
            "customers": self.data.all_customers,
            "invoices": self.data.all_invoices,
            "events": self.data.all_events,
        }[stream]()
        # Through JSON, as everything that an adapter brings.
        return {record["id"]: msgspec.json.decode(msgspec.json.encode(record)) for record in records}

    def requests(self) -> dict[str, int]:
        """Requests by endpoint since they were last asked for."""
        counted = dict(self.sandbox.stats.requests)
        self.sandbox.stats.reset()
        return counted


@pytest.fixture
def stripe_of() -> Iterator[Callable[..., Stripe]]:
    """Starts stand-ins of a given size."""
    servers: list[SandboxServer] = []

    def start(**size: Any) -> Stripe:
        sandbox = StripeSandbox(**{"limits": None, "now": NOW, **size})
        server = SandboxServer(stripe=sandbox).__enter__()
        servers.append(server)
        return Stripe(sandbox, f"{server.url}/stripe")

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def stripe(stripe_of: Callable[..., Stripe]) -> Stripe:
    """An account with several pages of everything."""
    return stripe_of(customers=430, invoices=520)
