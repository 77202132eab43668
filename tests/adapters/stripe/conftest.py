"""A Stripe stand-in on loopback, and adapters that talk to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from adapters.stripe.adapter import StripeAdapter
from tests.adapters.stripe.test_conformance import StripeBench
from unified.conformance.bench import NOW, Copy
from unified.sandbox.stripe import StripeSandbox

KEY = "sk_test_fake_acme"


class Stripe(StripeBench):
    """One account of a given size: its data, its API, and adapters for it."""

    def __init__(self, **size: Any) -> None:
        self.sandbox = StripeSandbox(**{"limits": None, "now": NOW, **size})
        super().__init__()

    def stand_in(self, *, empty: bool) -> StripeSandbox:
        """The one that was asked for."""
        del empty
        return self.sandbox

    def adapter(self, key: str = KEY, **settings: Any) -> StripeAdapter:
        """An adapter whose clock is the stand-in's, not slowed by limits unless settings say so."""
        adapter = self.open({"api_key": key}, **settings)
        assert isinstance(adapter, StripeAdapter)
        return adapter

    def copy(self, stream: str) -> Copy:
        return Copy(stream)

    def change(self, name: str, /, *args: Any, **fields: Any) -> Any:
        return self.sandbox.mutate(name, KEY, *args, **fields)

    def oracle(self, stream: str) -> dict[str, dict[str, Any]]:
        """What a complete copy holds."""
        # Through JSON, as everything that an adapter brings.
        return {record["id"]: msgspec.json.decode(msgspec.json.encode(record)) for record in self.all(stream)}

    def requests(self) -> dict[str, int]:
        """Requests by endpoint since they were last asked for."""
        counted = dict(self.sandbox.stats.requests)
        self.sandbox.stats.reset()
        return counted


@pytest.fixture
def stripe_of() -> Iterator[Callable[..., Stripe]]:
    """Starts stand-ins of a given size."""
    with ExitStack() as running:
        yield lambda **size: running.enter_context(Stripe(**size))


@pytest.fixture
def stripe(stripe_of: Callable[..., Stripe]) -> Stripe:
    """An account with several pages of everything."""
    return stripe_of(customers=430, invoices=520)
