"""Stripe's MCP tools: customers and invoices listed and read, customers created and updated.

Tools of its hosted server, which offers what the key allows (https://docs.stripe.com/mcp). They take the parameters of
the API and give its objects: https://docs.stripe.com/api/customers/list, https://docs.stripe.com/api/invoices/list.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from adapters.stripe import mapping
from unified.kit.tools.offered import ToolCall, UnfitToolError
from unified.kit.tools.provider import ProviderTools, last_id
from unified.schema.conditions import Condition
from unified.schema.customer import UnifiedCustomer

# By stream: its tools, and the filters of its list by unified field.
_LISTS = {"customers": ("list_customers",), "invoices": ("list_invoices",)}
_READS = {
    "customers": ("retrieve_customer", "fetch_stripe_resources"),
    "invoices": ("retrieve_invoice", "fetch_stripe_resources"),
}
_FILTERS: Mapping[str, Mapping[str, str]] = {
    "customers": {"email": "email"},
    "invoices": {"customer_id": "customer", "status": "status"},
}
_IDS = {"customers": "customer|customer_id|id", "invoices": "invoice|invoice_id|id"}


class StripeTools(ProviderTools):
    """Calls of Stripe's tools."""

    system = "stripe"
    mappings: ClassVar = {"customers": mapping.to_customer, "invoices": mapping.to_invoice}

    def page(self, stream: str, *, limit: int = 50, after: str | None = None) -> ToolCall:
        """A page of customers or invoices."""
        return self._page(stream, {}, limit, after)

    def search(
        self, stream: str, conditions: Sequence[Condition], *, limit: int = 50, after: str | None = None
    ) -> ToolCall:
        """Customers with an e-mail address; invoices of a customer or with a status."""
        self.mapping(stream)
        known = _FILTERS[stream]
        filters = {
            known[one.field]: one.value for one in conditions if one.operator == "is" and one.field in known
        }
        if len(filters) != len(conditions):
            raise UnfitToolError(
                f"Stripe's tools search {stream} by {', '.join(f'{field} is' for field in known)}, each once"
            )
        return self._page(stream, filters, limit, after)

    def create(self, customers: Sequence[UnifiedCustomer]) -> Sequence[ToolCall]:
        """A call for each customer."""
        return [self._write(("create_customer",), {}, mapping.from_customer(one)) for one in customers]

    def update(
        self, customers: Sequence[UnifiedCustomer], fields: Collection[str] | None = None
    ) -> Sequence[ToolCall]:
        """A call for each customer."""
        return [
            self._write(
                ("update_customer",),
                {_IDS["customers"]: one.source_id},
                mapping.from_customer(one, fields),
            )
            for one in customers
        ]

    def read(self, stream: str, ids: Sequence[str]) -> Sequence[ToolCall]:
        """A call for each record."""
        self.mapping(stream)
        return [self.offered.call(_READS[stream], {_IDS[stream]: one}) for one in ids]

    def following(self, document: dict[str, msgspec.Raw], raws: Sequence[msgspec.Raw]) -> str | None:
        """The last id, where Stripe says that there is more."""
        return last_id(raws) if bytes(document.get("has_more", msgspec.Raw(b"false"))) == b"true" else None

    def _page(self, stream: str, filters: Mapping[str, Any], limit: int, after: str | None) -> ToolCall:
        self.mapping(stream)
        place = {} if after is None else {"starting_after": after}
        return self.offered.call(_LISTS[stream], {**filters, "limit": limit, **place})

    def _write(
        self, names: Sequence[str], which: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> ToolCall:
        """A call with the parameters that the tool takes; what it does not take is said in ``left_out``."""
        return self.offered.call(names, {**which, **parameters}, optional=parameters.keys())
