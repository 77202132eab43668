"""What every adapter must pass, for Chargebee."""

from typing import Any, ClassVar

from adapters.chargebee.adapter import ChargebeeAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.chargebee import ChargebeeSandbox

_CHANGES: dict[str, dict[str, Any]] = {
    "customers": {"first_name": "Changed"},
    "invoices": {"po_number": "Changed"},
}


class ChargebeeBench(Bench):
    """A site with several pages of everything."""

    adapter_class = ChargebeeAdapter
    credentials: ClassVar[dict[str, str]] = {"api_key": "test_fake_acme"}
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(
        _CHANGES, frozenset({"create", "update", "delete"})
    )
    webhook_secret = "acme:fake-password"
    unsigned = frozenset({"body", "time"})

    def stand_in(self, *, empty: bool) -> ChargebeeSandbox:
        """Sizes that make three pages and more."""
        size = dict.fromkeys(("customers", "invoices", "events"), 0 if empty else 230)
        return ChargebeeSandbox(now=NOW, **size)

    def ids(self, stream: str) -> set[str]:
        """Those that are not deleted."""
        return set(self.provider.account().all(stream))

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that makes an event."""
        fields = _CHANGES[stream] if change == "update" else {}
        return str(self.provider.mutate(change, None, stream, *filter(None, [record_id]), **fields)["id"])

    def id_path(self, stream: str) -> str:
        """Below the noun."""
        return f"{stream[:-1]}.id"


TestChargebee = conformance(ChargebeeBench)
