"""Chargebee's resources as unified records. Pure functions only.

Amounts are integers: hundredths of the currency's unit, also of a currency with three digits, and whole units of one
without any (https://apidocs.chargebee.com/docs/api/currencies).
"""

from typing import Any

from unified.kit.errors import MappingError
from unified.kit.streams import Origin
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.event import UnifiedEvent
from unified.schema.invoice import InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.money import MinorUnits, settle
from unified.schema.reading import address, currency, first_of, moment, number, text
from unified.schema.unusable import Unusable

# Digits of Chargebee's unit where they are not the currency's own: it knows two at most.
MINOR_UNITS = dict.fromkeys("BHD IQD JOD KWD LYD OMR TND CLF UYW".split(), 2)  # noqa: SIM905 - a list to read

_UNITS = MinorUnits(MINOR_UNITS)

# https://apidocs.chargebee.com/docs/api/invoices: payment_due is retried, not_paid no longer is; both are still owed.
_STATUSES = {
    "paid": InvoiceStatus.PAID, "posted": InvoiceStatus.OPEN, "payment_due": InvoiceStatus.OPEN,
    "not_paid": InvoiceStatus.OPEN, "voided": InvoiceStatus.VOID, "pending": InvoiceStatus.DRAFT,
}  # fmt: skip

# By whether a person and a company are named: a person of a company may stand for either.
_KINDS = {(True, False): CustomerKind.PERSON, (False, True): CustomerKind.COMPANY}


def to_customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a customer (https://apidocs.chargebee.com/docs/api/customers)."""
    unusable = Unusable()
    person, company = _joined(raw, " ", "first_name", "last_name"), text(raw.get("company"))
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", raw.get("created_at")),
        updated_at=unusable.time("updated_at", raw.get("updated_at")),
        custom_fields=_custom_fields(raw, "locale"),
        raw_data=raw,
        **unusable.reach([raw.get("email")], [raw.get("phone")]),
        name=person or company,
        company=company,
        kind=_KINDS.get((person is not None, company is not None)),
        tax_number=_joined(raw, "", "vat_number_prefix", "vat_number"),
        currency=unusable.read("currency", currency, raw.get("preferred_currency_code")),
        billing_address=unusable.read("billing_address", _address, raw.get("billing_address") or {}),
    )


def to_invoice(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    """Map an invoice with its lines; nothing is recomputed."""
    unusable = Unusable()
    written, status, discounts = raw["currency_code"], raw.get("status"), raw.get("discounts")

    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", first_of(raw, "generated_at", "date")),
        updated_at=unusable.time("updated_at", raw.get("updated_at")),
        custom_fields=_custom_fields(raw, "subscription_id", "po_number"),
        raw_data=raw,
        customer_id=text(raw.get("customer_id")),
        invoice_number=raw["id"],
        status=unusable.read("status", _STATUSES.get, status or ""),
        remote_status=status,
        currency=unusable.read("currency", currency, written),
        subtotal=_UNITS.amount(raw.get("sub_total"), written),
        tax=_UNITS.amount(raw.get("tax"), written),
        discount=_UNITS.total(discounts or None, written),
        total=_UNITS.amount(raw["total"], written),
        amount_due=_UNITS.amount(raw.get("amount_due"), written),
        amount_paid=_UNITS.amount(raw.get("amount_paid"), written),
        amount_remaining=_UNITS.amount(raw.get("amount_due"), written),
        issue_date=unusable.time("issue_date", raw.get("date")),
        due_date=unusable.time("due_date", raw.get("due_date")),
        paid_date=unusable.time("paid_date", raw.get("paid_at")),
        line_items=unusable.each(
            "line_items", raw.get("line_items") or [], lambda line, part: _line(line, written, part)
        ),
    )


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event (https://apidocs.chargebee.com/docs/api/events): about the resource that its type begins with."""
    kind, content = raw["event_type"], raw["content"]
    happened = moment(raw["occurred_at"])
    if not isinstance(content, dict) or happened is None:
        raise MappingError("an event has a time, and an object as its content")
    about = max((noun for noun in content if kind.startswith(f"{noun}_")), key=len, default=None)
    return UnifiedEvent(
        **origin.identify(raw["id"]),
        created_at=happened,
        raw_data=raw,
        event_type=kind,
        event_category=about or kind.partition("_")[0],
        payload=content,
        user_id=text(raw.get("user")),
        resource_type=about,
        resource_id=None if about is None else content[about].get("id"),
        occurred_at=happened,
        api_version=text(raw.get("api_version")),
    )


def _line(raw: dict[str, Any], currency: str, unusable: Unusable) -> UnifiedLineItem:
    """Where prices of more digits are on, their exact values stand beside, in whole units of the currency."""
    unit = number(raw.get("unit_amount_in_decimal"))
    price = _UNITS.amount(raw.get("unit_amount"), currency) if unit is None else settle(unit, currency)
    quantity = first_of(raw, "quantity_in_decimal", "quantity")
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": text(raw.get("id")),
            "description": text(raw.get("description")),
            "quantity": unusable.read("quantity", number, quantity),
            "unit_price": price,
            "amount": _UNITS.amount(raw.get("amount"), currency),
            "tax": _UNITS.amount(raw.get("tax_amount"), currency),
            "discount": _UNITS.amount(raw.get("discount_amount"), currency),
            "item_id": text(raw.get("entity_id")),
            "period_start": unusable.time("period_start", raw.get("date_from")),
            "period_end": unusable.time("period_end", raw.get("date_to")),
        },
    )


def _address(raw: dict[str, Any]) -> UnifiedAddress | None:
    named = {name: raw.get(name) for name in ("line1", "city", "state", "country", "phone")}
    lines, name = _joined(raw, ", ", "line2", "line3"), _joined(raw, " ", "first_name", "last_name")
    return address({**named, "line2": lines, "postal_code": raw.get("zip"), "name": name})


def _joined(raw: dict[str, Any], separator: str, *names: str) -> str | None:
    return separator.join(raw[name] for name in names if raw.get(name)) or None


def _custom_fields(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    """The site's own (cf_…), its free ``meta_data``, and further ones by name; see .../docs/api/custom_fields."""
    wanted = [name for name in raw if name in ("meta_data", *names) or name.startswith("cf_")]
    return {name: raw[name] for name in wanted if raw[name] not in (None, "", {})}
