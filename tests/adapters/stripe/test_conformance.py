"""What every adapter must pass, for Stripe."""

from collections.abc import Iterator
from typing import Any, ClassVar

from adapters.stripe.adapter import StripeAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.stripe import StripeAccount, StripeSandbox


class StripeBench(Bench):
    """An account with several pages of everything."""

    adapter_class = StripeAdapter
    credentials: ClassVar[dict[str, str]] = {"api_key": "sk_test_fake_acme"}
    # Objects with nested lists, a log that no event tells of: the other streams are read alike (`test_further`).
    covers = ("customers", "invoices", "events", "subscriptions", "balance_transactions")
    edits: ClassVar[dict[str, frozenset[str]]] = {
        "customers": frozenset({"create", "update", "delete"}),
        "invoices": frozenset({"create", "update"}),
        "subscriptions": frozenset({"create", "update"}),
    }
    webhook_secret = "whsec_fake_acme"

    def stand_in(self, *, empty: bool) -> StripeSandbox:
        """Sizes that make three pages and more."""
        return StripeSandbox(*((0, 0, 0) if empty else (330, 320, 230)), now=NOW, limits=None)

    @property
    def data(self) -> StripeAccount:
        """The data."""
        account = self.provider.account()
        assert isinstance(account, StripeAccount)
        return account

    def ids(self, stream: str) -> set[str]:
        """Those that Stripe lists."""
        if stream == "events":
            return {event["id"] for event in self.data.all_events()}  # older ones are not kept
        made = self.data.objects.get(stream)
        listed = getattr(self.data, stream) if made is None else made.collection
        return set(listed.live_ids())

    def all(self, stream: str) -> Iterator[dict[str, Any]]:
        """The records that a complete copy holds."""
        if stream in self.data.objects:
            return self.data.all_objects(stream)
        found: Iterator[dict[str, Any]] = getattr(self.data, f"all_{stream}")()
        return found

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that makes an event."""
        fields: dict[str, Any] = {} if change != "update" else {"description": "Changed"}
        if stream in self.data.objects:
            fields = {} if change != "update" else {"metadata": {"changed": "yes"}}
            made = self.provider.mutate(
                f"{change}_object", None, stream, *filter(None, [record_id]), **fields
            )
            return record_id or str(made["id"])
        made = self.provider.mutate(f"{change}_{stream[:-1]}", None, *filter(None, [record_id]), **fields)
        return record_id or str(made["id"])


TestStripe = conformance(StripeBench)
