"""Which object of an org holds its invoices, and which of its fields fill ours.

Sales Cloud has no invoices. There is an object of Salesforce's own (``Invoice``: Order Management, Commerce, Revenue
Cloud), one of its older package (``blng__Invoice__c``), or the org's own, which the settings name. Never
``SalesforceInvoice``: it holds what the org owes Salesforce. Without any of them that is said, in words, and no empty
stream pretends that there are no invoices.

Not here: reading them with their lines (``invoices``), and what becomes of a record (``mapping``).
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.salesforce.api import Described, SalesforceApi
from adapters.salesforce.objects import SObject
from unified.kit.errors import ConfigurationError, PermissionDeniedError
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import matches

Names = Mapping[str, Sequence[str]]
"""By field of ours, the fields that may fill it; the first that has a value does."""

_NOT_THE_ORGS = "SalesforceInvoice"
_INVOICE = re.compile(r"invoice|rechnung|facture|factura|fattura|faktura|billing", re.IGNORECASE)
_LINE = re.compile(r"line|item|position|detail", re.IGNORECASE)

# What JSON Schema calls Salesforce's types (``describe``: https://developer.salesforce.com/docs/, Field Types).
_TYPES = {
    "currency": ("number", ""), "double": ("number", ""), "percent": ("number", ""), "int": ("integer", ""),
    "boolean": ("boolean", ""), "date": ("string", "date"), "datetime": ("string", "date-time"),
    "email": ("string", "email"), "url": ("string", "url"),
}  # fmt: skip


@dataclass(frozen=True)
class InvoiceObject:
    """An object that holds invoices.

    Attributes:
        name: Its API name.
        fields: Which of its fields fill those of an invoice.
        line_name: The object that holds their lines; None where there are none.
        line_parent: The field of a line that names its invoice.
        line_fields: Which fields fill those of a line.
    """

    name: str
    fields: Names
    line_name: str | None = None
    line_parent: str | None = None
    line_fields: Names = field(default_factory=dict)

    def with_fields(self, fields: Mapping[str, str], line_fields: Mapping[str, str]) -> "InvoiceObject":
        """The same with what settings say instead."""
        return replace(
            self,
            fields={**self.fields, **{ours: (theirs,) for ours, theirs in fields.items()}},
            line_fields={**self.line_fields, **{ours: (theirs,) for ours, theirs in line_fields.items()}},
        )


# https://developer.salesforce.com/docs/platform/object-reference/references/standard-objects/object-invoice.html. In
# Order Management ``Balance`` ignores payments, so it fills nothing unless the settings say so.
_STANDARD = InvoiceObject(
    "Invoice",
    {
        "customer_id": ("BillingAccountId",), "invoice_number": ("InvoiceNumber", "DocumentNumber"),
        "status": ("Status",), "subtotal": ("TotalAmount",), "tax": ("TotalTaxAmount",),
        "total": ("TotalAmountWithTax",), "issue_date": ("InvoiceDate",), "due_date": ("DueDate",),
        "memo": ("Description",),
    },
    "InvoiceLine",
    "InvoiceId",
    {
        "description": ("Description", "Name"), "quantity": ("Quantity",), "unit_price": ("UnitPrice",),
        "amount": ("ChargeAmount", "LineAmount"), "tax": ("ChargeTaxAmount", "TaxAmount"), "item_id": ("Product2Id",),
        "period_start": ("InvoiceLineStartDate",), "period_end": ("InvoiceLineEndDate",),
    },
)  # fmt: skip
# https://developer.salesforce.com/docs/revenue/billing-developer/guide/blng__invoice__c.html
_PACKAGE = InvoiceObject(
    "blng__Invoice__c",
    {
        "customer_id": ("blng__Account__c",), "invoice_number": ("blng__InvoiceNumber__c", "Name"),
        "status": ("blng__InvoiceStatus__c",), "subtotal": ("blng__Subtotal__c",), "tax": ("blng__TaxAmount__c",),
        "total": ("blng__TotalAmount__c",), "amount_remaining": ("blng__Balance__c",),
        "issue_date": ("blng__InvoiceDate__c",), "due_date": ("blng__DueDate__c",), "memo": ("blng__Notes__c",),
    },
    "blng__InvoiceLine__c",
    "blng__Invoice__c",
    {
        "description": ("Name",), "quantity": ("blng__Quantity__c",), "unit_price": ("blng__UnitPrice__c",),
        "amount": ("blng__Subtotal__c",), "tax": ("blng__TaxAmount__c",), "item_id": ("blng__Product__c",),
        "period_start": ("blng__StartDate__c",), "period_end": ("blng__EndDate__c",),
    },
)  # fmt: skip
KNOWN = {one.name: one for one in (_STANDARD, _PACKAGE)}

FIELDS = frozenset((
    *_STANDARD.fields, *_PACKAGE.fields, "currency", "discount", "amount_due", "amount_paid", "paid_date",
))  # fmt: skip
LINE_FIELDS = frozenset((*_STANDARD.line_fields, "discount"))
"""What settings may name a field for."""


def declared(config: Any, name: str) -> InvoiceObject:
    """How records of an object become invoices, by what is known of it and what the settings say. Pure.

    Args:
        config: The connection's settings.
        name: The object.
    """
    known = KNOWN.get(name) or InvoiceObject(name, {}, config.invoice_line_object, config.invoice_line_parent)
    return known.with_fields(config.invoice_fields, config.invoice_line_fields)


async def found(api: SalesforceApi, config: Any) -> tuple[InvoiceObject, SObject]:
    """The object that holds this org's invoices.

    Raises:
        ConfigurationError: If the settings name one and do not say which fields fill ours; with a proposal.
        PermissionDeniedError: If there is none, or the user may not see its amounts.
    """
    if config.invoice_object:
        chosen = SObject(api, config.invoice_object)
        described = await chosen.described()
        if config.invoice_object not in KNOWN and "total" not in config.invoice_fields:
            raise ConfigurationError(await _proposal(api, described))
        return _checked(api, declared(config, config.invoice_object), chosen, described)
    for name in KNOWN:
        chosen = SObject(api, name)
        try:
            described = await chosen.described()
        except PermissionDeniedError:
            continue
        return _checked(api, declared(config, name), chosen, described)
    listed = await api.objects()
    likely = [
        one.name
        for one in listed
        if one.queryable and one.name != _NOT_THE_ORGS and _INVOICE.search(f"{one.name} {one.label}")
    ]
    hint = f"; it may be {' or '.join(likely[:5])}" if likely else ""
    raise PermissionDeniedError(
        f"{api.label}: no invoice object: neither {' nor '.join(KNOWN)} is there, or the user may not see it. Name the "
        f"org's own in the setting invoice_object{hint}, or read accounts and contacts alone"
    )


def _checked(
    api: SalesforceApi, invoices: InvoiceObject, chosen: SObject, described: Described
) -> tuple[InvoiceObject, SObject]:
    """An invoice without its total would be missing from every sum, and nobody would see it."""
    known = {one.name for one in described.fields}
    totals = invoices.fields["total"]
    if not known.intersection(totals):
        raise PermissionDeniedError(
            f"{api.label}: {invoices.name} has no field {' or '.join(totals)} for the total, or the user may not see "
            "it; give its permission set the right to read it, or name another one in the setting invoice_fields"
        )
    return invoices, chosen


async def _proposal(api: SalesforceApi, described: Described) -> str:
    """Settings for an object of the org's own, as far as names, labels and types say."""
    fields = _proposed(described, FIELDS)
    said: dict[str, Any] = {"invoice_object": described.name, "invoice_fields": fields}
    child = next(
        (one for one in described.child_relationships if one.field and _LINE.search(one.child_s_object)), None
    )
    if child is not None:
        lines = await SObject(api, child.child_s_object).described()
        own = {
            ours: theirs
            for ours, theirs in _proposed(lines, LINE_FIELDS, "lines").items()
            if theirs != child.field
        }
        said |= {
            "invoice_line_object": child.child_s_object, "invoice_line_parent": child.field, "invoice_line_fields": own,
        }  # fmt: skip
    texts = ((name, value if isinstance(value, str) else json.dumps(value)) for name, value in said.items())
    words = " ".join(f"--set {name}={shlex.quote(text)}" for name, text in texts)
    return (
        f"{api.label}: the setting invoice_fields has to say which fields of {described.name} fill ours, the total at "
        f"least. Look over this proposal: {words}"
    )


def _proposed(described: Described, wanted: frozenset[str], entity: str = "invoices") -> dict[str, str]:
    names = {one.name.removesuffix("__c"): one.name for one in described.fields}
    foreign = [
        ForeignField(
            one.name.removesuffix("__c"), *_TYPES.get(one.type, ("string", "")), description=one.label
        )
        for one in described.fields
    ]
    proposed: dict[str, str] = {}
    for match in matches(entity, foreign):
        if match.place.target in wanted:
            proposed.setdefault(match.place.target, names[match.field.path])
    accounts = [one.name for one in described.fields if "Account" in one.reference_to]
    return {**proposed, "customer_id": accounts[0]} if accounts and entity == "invoices" else proposed
