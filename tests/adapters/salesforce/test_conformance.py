"""What every adapter must pass, for Salesforce."""

from typing import Any, ClassVar

from adapters.salesforce.adapter import SalesforceAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.salesforce.fields import identifier

_OBJECTS = {"accounts": "Account", "contacts": "Contact", "invoices": "Invoice"}
_CHANGES: dict[str, dict[str, Any]] = {
    "accounts": {"Website": "https://changed.example"},
    "contacts": {"Title": "Changed"},
    "invoices": {"Description": "Changed"},
}


class SalesforceBench(Bench):
    """An org with several pages of everything."""

    adapter_class = SalesforceAdapter
    credentials: ClassVar[dict[str, str]] = {"access_token": "00D-fake-acme"}
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(
        _CHANGES, frozenset({"create", "update", "delete"})
    )
    covers = tuple(_OBJECTS)
    webhook_secret = identifier("00D", 1)
    unsigned = frozenset({"body", "time", "headers"})
    before_pages = 3  # describe, the lowest and the highest id

    def stand_in(self, *, empty: bool) -> SalesforceSandbox:
        """Sizes that make three pages and more."""
        size = dict.fromkeys(("Account", "Contact", "Invoice"), 0 if empty else 160)
        return SalesforceSandbox(now=NOW, page=45, **size)

    def ids(self, stream: str) -> set[str]:
        """Those that are not in the bin; a person account is not a contact."""
        records = self.provider.account().all(_OBJECTS[stream])
        return {name for name, one in records.items() if stream != "contacts" or not one["IsPersonAccount"]}

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that is announced."""
        fields = _CHANGES[stream] if change == "update" else {}
        if change == "create" and stream == "contacts":
            fields = {"IsPersonAccount": False}
        made = self.provider.mutate(change, None, _OBJECTS[stream], *filter(None, [record_id]), **fields)
        return str(made["Id"])

    def id_path(self, stream: str) -> str:
        """With a capital."""
        del stream
        return "Id"


TestSalesforce = conformance(SalesforceBench)
