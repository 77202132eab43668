"""What every adapter must pass, for Xero."""

from typing import Any, ClassVar

from adapters.xero.adapter import XeroAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.xero import XeroSandbox
from unified.sandbox.xero.account import FATES

_TABLES = {
    "contacts": ("Contacts", "ContactID"),
    "invoices": ("Invoices", "InvoiceID"),
    "credit_notes": ("CreditNotes", "CreditNoteID"),
    "payments": ("Payments", "PaymentID"),
}
_CHANGES: dict[str, dict[str, Any]] = {
    "contacts": {"TaxNumber": "Changed"},
    "invoices": {"Reference": "Changed"},
    "credit_notes": {"Reference": "Changed"},
}


class XeroBench(Bench):
    """An organisation with several pages of everything."""

    adapter_class = XeroAdapter
    credentials: ClassVar[dict[str, str]] = {"access_token": "xero_fake_acme"}
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(
        _CHANGES, frozenset({"create", "update", "delete"})
    )
    webhook_secret = "fake-webhook-key"
    unsigned = frozenset({"time"})

    def stand_in(self, *, empty: bool) -> XeroSandbox:
        """Sizes that make three pages and more."""
        size: dict[str, Any] = dict.fromkeys(FATES, 0 if empty else 110)
        return XeroSandbox(now=NOW, page=40, **size)

    def ids(self, stream: str) -> set[str]:
        """Those that are neither archived nor deleted."""
        return set(self.provider.account().all(_TABLES[stream][0]))

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that is announced."""
        table, key = _TABLES[stream]
        fields = _CHANGES[stream] if change == "update" else {}
        if change == "create" and stream != "contacts":
            fields = {"Status": "AUTHORISED"}
        if change == "create" and stream == "contacts":
            fields = {"ContactStatus": "ACTIVE"}
        return str(self.provider.mutate(change, None, table, *filter(None, [record_id]), **fields)[key])

    def id_path(self, stream: str) -> str:
        """Named after the resource."""
        return _TABLES[stream][1]


TestXero = conformance(XeroBench)
