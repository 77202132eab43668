"""HubSpot's MCP tools: contacts and invoices listed, searched and read, contacts created and updated.

Tools of its server on npm (https://www.npmjs.com/package/@hubspot/mcp-server) and of its hosted one
(https://developers.hubspot.com/mcp). Both take and give the objects of the CRM API, whose mapping this is:
https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from adapters.hubspot import mapping
from unified.kit.tools.offered import ToolCall, UnfitToolError
from unified.kit.tools.provider import ProviderTools
from unified.schema.conditions import CUSTOM, Condition
from unified.schema.customer import UnifiedCustomer

_BATCH = 100
_MOST_FILTERS = 6  # in one group; all of a group are met
_LIST = ("hubspot-list-objects", "list_crm_objects")
_SEARCH = ("hubspot-search-objects", "search_crm_objects")
_READ = ("hubspot-batch-read-objects", "get_crm_objects")
_CREATE = ("hubspot-batch-create-objects", "create_crm_objects")
_UPDATE = ("hubspot-batch-update-objects", "update_crm_objects")

_OBJECTS: Mapping[str, tuple[str, Sequence[str]]] = {
    "customers": ("contacts", mapping.CONTACT_PROPERTIES),
    "invoices": ("invoices", mapping.INVOICE_PROPERTIES),
}
_PROPERTIES: Mapping[str, Mapping[str, str]] = {
    "customers": {
        "source_id": "hs_object_id", "email": "email", "phone": "phone", "company": "company",
        "billing_address.city": "city", "billing_address.state": "state", "billing_address.postal_code": "zip",
        "billing_address.country": "country", "created_at": "createdate", "updated_at": "lastmodifieddate",
    },
    "invoices": {
        "source_id": "hs_object_id", "invoice_number": "hs_number", "status": "hs_invoice_status",
        "currency": "hs_currency", "total": "hs_amount_billed", "amount_remaining": "hs_balance_due",
        "issue_date": "hs_invoice_date", "due_date": "hs_due_date", "created_at": "hs_createdate",
        "updated_at": "hs_lastmodifieddate",
    },
}  # fmt: skip
_OPERATORS = {
    "is": "EQ", "is_not": "NEQ", "in": "IN", "not_in": "NOT_IN", "above": "GT", "below": "LT",
    "is_set": "HAS_PROPERTY", "is_empty": "NOT_HAS_PROPERTY",
}  # fmt: skip
_STATUSES = {"void": "voided"}


class _Next(msgspec.Struct):
    after: str | None = None


class _Paging(msgspec.Struct):
    next: _Next | None = None


class HubSpotTools(ProviderTools):
    """Calls of HubSpot's tools."""

    system = "hubspot"
    mappings: ClassVar = {"customers": mapping.customer, "invoices": mapping.invoice}

    def page(self, stream: str, *, limit: int = 50, after: str | None = None) -> ToolCall:
        """A page of contacts or invoices, with the properties that the mapping reads."""
        return self._page(_LIST, stream, {}, limit, after)

    def search(
        self, stream: str, conditions: Sequence[Condition], *, limit: int = 50, after: str | None = None
    ) -> ToolCall:
        """Contacts or invoices that meet all conditions; HubSpot finds what changed some seconds ago, not sooner."""
        if len(conditions) > _MOST_FILTERS:
            raise UnfitToolError(
                f"HubSpot searches by {_MOST_FILTERS} conditions at most, not {len(conditions)}"
            )
        filters = [_filter(stream, one) for one in conditions]
        return self._page(_SEARCH, stream, {"filterGroups": [{"filters": filters}]}, limit, after)

    def create(self, customers: Sequence[UnifiedCustomer]) -> Sequence[ToolCall]:
        """Calls that create contacts, a hundred each."""
        inputs = [{**mapping.contact_body(one), "associations": []} for one in customers]
        return self._batches(_CREATE, "customers", inputs)

    def update(
        self, customers: Sequence[UnifiedCustomer], fields: Collection[str] | None = None
    ) -> Sequence[ToolCall]:
        """Calls that update contacts, a hundred each."""
        inputs = [{"id": one.source_id, **mapping.contact_body(one, fields)} for one in customers]
        return self._batches(_UPDATE, "customers", inputs)

    def read(self, stream: str, ids: Sequence[str]) -> Sequence[ToolCall]:
        """Calls that read contacts or invoices, a hundred each."""
        _, properties = self._object(stream)
        return self._batches(_READ, stream, [{"id": one} for one in ids], properties=list(properties))

    def following(self, document: dict[str, msgspec.Raw], raws: Sequence[msgspec.Raw]) -> str | None:  # noqa: ARG002
        """``paging.next.after``."""
        if "paging" not in document:
            return None
        paging = msgspec.json.decode(document["paging"], type=_Paging | None)
        return paging.next.after if paging and paging.next else None

    def _object(self, stream: str) -> tuple[str, Sequence[str]]:
        self.mapping(stream)
        return _OBJECTS[stream]

    def _page(
        self, names: Sequence[str], stream: str, more: Mapping[str, Any], limit: int, after: str | None
    ) -> ToolCall:
        kind, properties = self._object(stream)
        arguments = {"objectType": kind, **more, "limit": limit, "properties": list(properties)}
        return self.offered.call(names, arguments if after is None else {**arguments, "after": after})

    def _batches(
        self, names: Sequence[str], stream: str, inputs: Sequence[Mapping[str, Any]], **more: Any
    ) -> Sequence[ToolCall]:
        kind, _ = self._object(stream)
        return [
            self.offered.call(
                names, {"objectType": kind, "inputs": list(inputs[begin : begin + _BATCH]), **more}
            )
            for begin in range(0, len(inputs), _BATCH)
        ]


def _filter(stream: str, condition: Condition) -> dict[str, Any]:
    """A condition on a unified field as a filter of HubSpot's."""
    field = condition.field
    name = field.removeprefix(CUSTOM) if field.startswith(CUSTOM) else _PROPERTIES.get(stream, {}).get(field)
    operator = _OPERATORS.get(condition.operator)
    if name is None or operator is None:
        fields = ", ".join([*_PROPERTIES.get(stream, {}), f"{CUSTOM}<property>"])
        raise UnfitToolError(
            f"HubSpot can't search {stream} by {field} {condition.operator}; it can by {fields}, with "
            f"{', '.join(_OPERATORS)}"
        )
    made: dict[str, Any] = {"propertyName": name, "operator": operator}
    if isinstance(condition.value, (list, tuple)):
        return {**made, "values": [_text(field, one) for one in condition.value]}
    return made if condition.value is None else {**made, "value": _text(field, condition.value)}


def _text(field: str, value: Any) -> str:
    """A value as HubSpot compares it: text, times as Unix milliseconds, addresses in lower case."""
    if field == "email":
        return str(value).lower()
    if field == "status":
        return _STATUSES.get(str(value), str(value))
    if field.endswith(("_at", "_date")):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return str(int(moment.timestamp() * 1000))
    return str(value)
