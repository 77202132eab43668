"""What every adapter must pass, for HubSpot."""

from typing import Any, ClassVar

from adapters.hubspot.adapter import HubSpotAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.hubspot.records import CUSTOM

_KINDS = {"customers": "contacts", "invoices": "invoices", "deals": "deals"}
_NOUNS = {"customers": "contact", "invoices": "invoice", "owners": "owner"}
_CHANGED = {
    "contact": {"firstname": "Changed"}, "invoice": {"hs_title": "Changed"}, "owner": {"firstName": "Changed"}
}  # fmt: skip
_CHANGES = {"create": "create", "update": "update", "delete": "archive"}


class HubSpotBench(Bench):
    """A portal with several pages of everything."""

    adapter_class = HubSpotAdapter
    covers = (*_KINDS, "owners", "custom_objects")  # the others are read as deals are (`test_further`)
    credentials: ClassVar[dict[str, str]] = {"access_token": "pat-fake-acme"}
    settings: ClassVar[dict[str, Any]] = {"search_lag": 0, "searches_per_second": 1e4}
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(covers, frozenset(_CHANGES))
    whole: ClassVar[frozenset[str]] = frozenset(("owners",))
    silent = whole
    before_pages = 2  # the lowest and the highest id
    webhook_secret = "fake-client-secret"

    def stand_in(self, *, empty: bool) -> HubSpotSandbox:
        """Sizes that make three pages and more."""
        sizes = (0, 0, 0, 0, 0, 0) if empty else (330, 80, 320, 430, 620, 240)
        return HubSpotSandbox(*sizes, now=NOW, limits=None)

    def before(self, stream: str) -> int:
        """Of custom objects the schemas, and the ids of two objects."""
        return 5 if stream == "custom_objects" else self.before_pages

    def ids(self, stream: str) -> set[str]:
        """Those that are not archived."""
        account = self.provider.account()
        if stream == "custom_objects":
            kinds = filter(account.schemas.has, CUSTOM)
            return {f"{kind}:{record_id}" for kind in kinds for record_id in account.ids(kind)}
        if stream == "owners":
            return {owner["id"] for owner in account.owners.listed()}
        return set(account.ids(_KINDS[stream]))

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that makes events, but for owners."""
        if stream == "custom_objects":
            kind, _, number = (record_id or CUSTOM[0]).partition(":")
            asked: dict[str, list[Any]] = {
                "create": [{}], "update": [number, {"hubspot_owner_id": "7"}], "delete": [number]
            }  # fmt: skip
            made = self.provider.mutate(_CHANGES[change], None, kind, *asked[change])
            return record_id or f"{kind}:{made['id']}"
        if stream == "deals":
            arguments = [record_id] if record_id else []
            changed = {"create": [{}], "update": [{"dealname": "Changed"}], "delete": []}[change]
            made = self.provider.mutate(_CHANGES[change], None, "deals", *arguments, *changed)
            return record_id or str(made["id"])
        noun = _NOUNS[stream]
        fields = _CHANGED[noun] if change == "update" else {}
        arguments = [record_id] if record_id else []
        made = self.provider.mutate(f"{_CHANGES[change]}_{noun}", None, *arguments, **fields)
        return record_id or str(made["id"])


TestHubSpot = conformance(HubSpotBench)
