"""What every adapter must pass, for QuickBooks Online."""

from typing import Any, ClassVar

from adapters.quickbooks.adapter import QuickBooksAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.quickbooks import QuickBooksSandbox

_TABLES = {
    "customers": "Customer", "invoices": "Invoice", "vendors": "Vendor", "credit_memos": "CreditMemo",
    "payments": "Payment",
}  # fmt: skip
_CHANGES: dict[str, dict[str, Any]] = {
    "customers": {"Notes": "Changed"},
    "invoices": {"DocNumber": "Changed"},
    "vendors": {"Notes": "Changed"},
    "payments": {"PaymentRefNum": "Changed"},
}


class QuickBooksBench(Bench):
    """A company with several pages of everything."""

    adapter_class = QuickBooksAdapter
    credentials: ClassVar[dict[str, str]] = {"access_token": "qb_fake_acme"}
    settings: ClassVar[dict[str, Any]] = {"realm_id": QuickBooksSandbox.realm("qb_fake_acme")}
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(
        _CHANGES, frozenset({"create", "update", "delete"})
    )
    webhook_secret = "fake-verifier-token"
    unsigned = frozenset({"time"})

    def stand_in(self, *, empty: bool) -> QuickBooksSandbox:
        """Sizes that make three pages and more."""
        size: dict[str, Any] = dict.fromkeys(_TABLES.values(), 0 if empty else 110)
        return QuickBooksSandbox(now=NOW, page=40, **size)

    def ids(self, stream: str) -> set[str]:
        """Those that are neither inactive nor deleted."""
        return set(self.provider.account().all(_TABLES[stream]))

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that is announced."""
        fields = _CHANGES[stream] if change == "update" else {}
        if change == "create" and stream in ("customers", "vendors"):
            fields = {"Active": True}
        return str(
            self.provider.mutate(change, None, _TABLES[stream], *filter(None, [record_id]), **fields)["Id"]
        )

    def id_path(self, stream: str) -> str:
        """With a capital."""
        del stream
        return "Id"


TestQuickBooks = conformance(QuickBooksBench)
