"""QuickBooks' entities as unified records, and customers as what it takes. Pure functions only.

Amounts are numbers in whole units of the currency. Dates of documents are the company's own, and never shifted.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from unified.kit.streams import Origin
from unified.kit.writing.changes import choose
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.invoice import InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.money import exact, settle
from unified.schema.reading import address, currency, joined, number, text
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import Unusable

WRITABLE = frozenset(
    ("name", "email", "phone", "company", "description", "billing_address", "shipping_address")
)
"""What a customer keeps when it is written."""

_LINES = ("Line1", "Line2", "Line3", "Line4", "Line5")
_ITEM, _TEXT, _GROUP = "SalesItemLineDetail", "DescriptionOnly", "GroupLineDetail"
_SUBTOTAL, _DISCOUNT = "SubTotalLineDetail", "DiscountLineDetail"
_VOIDED = "Voided"
_HELD = {name: name for name in ("StringValue", "NumberValue", "DateValue", "BooleanValue")}

# By whether a person and a company are named: a person of a company may stand for either.
_KINDS = {(True, False): CustomerKind.PERSON, (False, True): CustomerKind.COMPANY}


def to_customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a customer; sub-customers and projects are customers with a parent."""
    unusable = Unusable()
    company = text(raw.get("CompanyName"))
    person = unusable.read(
        "person", joined, [raw.get(one) for one in ("GivenName", "MiddleName", "FamilyName")]
    )
    phones = [_within(raw, name, "FreeFormNumber") for name in ("PrimaryPhone", "Mobile", "AlternatePhone")]
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["Id"]),
        **_life(raw, unusable),
        custom_fields={
            **_custom(raw, is_job="Job", is_project="IsProject", first_name="GivenName", last_name="FamilyName",
                      balance="Balance", full_name="FullyQualifiedName"),
            **({"parent_id": parent} if (parent := _within(raw, "ParentRef", "value")) else {}),
            **_own(raw),
        },
        raw_data=raw,
        **unusable.reach([_within(raw, "PrimaryEmailAddr", "Address")], phones),
        name=text(raw.get("DisplayName")),
        company=company,
        kind=_KINDS.get((person is not None, company is not None)),
        currency=unusable.read("currency", currency, _within(raw, "CurrencyRef", "value")),
        # Outside of India, Canada and the United Kingdom there is only PrimaryTaxIdentifier, of which Intuit shows no
        # more than the end: as a number it would make one of several customers.
        tax_number=text(raw.get("GSTIN")) or text(raw.get("BusinessNumber")),
        description=text(raw.get("Notes")),
        billing_address=unusable.read("billing_address", _address, raw.get("BillAddr") or {}),
        shipping_address=unusable.read("shipping_address", _address, raw.get("ShipAddr") or {}),
    )  # fmt: skip


def to_invoice(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    """Map an invoice with all its lines.

    There is no field for the status: a void one has amounts of 0 and says so in its note; a paid one has no balance
    left of its total. What was paid is the total without the balance, as QuickBooks states both.
    """
    unusable = Unusable()
    written = unusable.read("currency", currency, _within(raw, "CurrencyRef", "value"))
    total, balance = amount(raw, "TotalAmt", written), amount(raw, "Balance", written)
    if total is None:
        raise ValueError("an invoice has a TotalAmt")
    lines = raw.get("Line") or []
    is_void = not total and str(raw.get("PrivateNote") or "").startswith(_VOIDED)

    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["Id"]),
        **_life(raw, unusable),
        custom_fields={
            **_custom(raw, exchange_rate="ExchangeRate", home_total="HomeTotalAmt", home_balance="HomeBalance",
                      tax_calculation="GlobalTaxCalculation", private_note="PrivateNote", deposit="Deposit"),
            **_own(raw),
        },
        raw_data=raw,
        customer_id=text(_within(raw, "CustomerRef", "value")),
        invoice_number=text(raw.get("DocNumber")),
        status=_status(total, balance, is_void=is_void),
        remote_status=_VOIDED if is_void else None,
        currency=written,
        subtotal=_stated(lines, _SUBTOTAL, written),
        discount=_stated(lines, _DISCOUNT, written),
        tax=amount(raw.get("TxnTaxDetail") or {}, "TotalTax", written),
        total=total,
        amount_due=balance,
        amount_paid=None if balance is None else total - balance,
        amount_remaining=balance,
        issue_date=unusable.time("issue_date", raw.get("TxnDate")),
        due_date=unusable.time("due_date", raw.get("DueDate")),
        memo=text(_within(raw, "CustomerMemo", "value")),
        hosted_url=text(raw.get("InvoiceLink")),
        line_items=unusable.each("line_items", _items(lines), lambda line, part: _line(line, written, part)),
    )  # fmt: skip


def to_record(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a vendor, called by its name, or a credit memo or payment, called by its number."""
    unusable = Unusable()
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["Id"]),
        **_life(raw, unusable),
        custom_fields=_custom(
            raw, total="TotalAmt", balance="Balance", unapplied="UnappliedAmt", exchange_rate="ExchangeRate"
        ),
        raw_data=raw,
        name=text(raw.get("DisplayName")) or text(raw.get("DocNumber")) or text(raw.get("PaymentRefNum")),
    )


def customer_body(record: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    """The body that creates or updates a customer; an empty text empties a field.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    parts: dict[str, dict[str, Any]] = {
        "name": {"DisplayName": record.name},
        "email": {"PrimaryEmailAddr": record.email},
        "phone": {"PrimaryPhone": record.phone},
        "company": {"CompanyName": record.company},
        "description": {"Notes": record.description},
        "billing_address": {"BillAddr": record.billing_address},
        "shipping_address": {"ShipAddr": record.shipping_address},
    }
    chosen, _ = choose(parts, {}, fields)
    shapes = {
        "PrimaryEmailAddr": lambda one: {"Address": one or ""},
        "PrimaryPhone": lambda one: {"FreeFormNumber": one or ""},
        "BillAddr": _place,
        "ShipAddr": _place,
    }
    return {name: shapes[name](value) if name in shapes else value or "" for name, value in chosen.items()}


def amount(raw: dict[str, Any], name: str, currency: str | None) -> Decimal | None:
    """An amount by its digits.

    Raises:
        ValueError: If it is not a number.
    """
    value = raw.get(name)
    if isinstance(value, bool):
        raise ValueError(f"{name} is not an amount: {value}")  # noqa: TRY004 - see unified.schema.reading
    found = number(value)
    return None if found is None else settle(exact(found), currency or "")


def _status(total: Decimal, balance: Decimal | None, *, is_void: bool) -> InvoiceStatus | None:
    if is_void:
        return InvoiceStatus.VOID
    if balance is None:
        return None
    if total > 0 and balance == 0:
        return InvoiceStatus.PAID
    return InvoiceStatus.PARTIALLY_PAID if 0 < balance < total else InvoiceStatus.OPEN


def _stated(lines: Any, kind: str, currency: str | None) -> Decimal | None:
    """What the lines of one kind say, which are no items: a subtotal, discounts that are positive to be taken off."""
    found = [
        amount(one, "Amount", currency)
        for one in lines
        if isinstance(one, dict) and one.get("DetailType") == kind
    ]
    known = [one for one in found if one is not None]
    return (sum(known, Decimal(0)) if kind == _DISCOUNT else known[-1]) if known else None


def _items(lines: Any) -> Iterator[Any]:
    """Lines that are items or texts; those of a group stand within it, and its own amount is 0."""
    for line in lines:
        kind = line.get("DetailType") if isinstance(line, dict) else None
        if kind == _GROUP:
            yield from _items((line.get(_GROUP) or {}).get("Line") or [])
        elif kind not in (_SUBTOTAL, _DISCOUNT):
            yield line


def _line(raw: dict[str, Any], currency: str | None, unusable: Unusable) -> UnifiedLineItem:
    detail = raw.get(_ITEM)
    detail = detail if isinstance(detail, dict) else {}
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": text(raw.get("Id")),
            "description": text(raw.get("Description")),
            "quantity": unusable.read("quantity", number, detail.get("Qty")),
            "unit_price": amount(detail, "UnitPrice", currency),
            "amount": amount(raw, "Amount", currency),
            "item_id": text(_within(detail, "ItemRef", "value")),
            "period_start": unusable.time("period_start", detail.get("ServiceDate")),
        },
    )


def _life(raw: dict[str, Any], unusable: Unusable) -> dict[str, datetime | None]:
    return {
        "created_at": unusable.time("created_at", _within(raw, "MetaData", "CreateTime")),
        "updated_at": unusable.time("updated_at", _within(raw, "MetaData", "LastUpdatedTime")),
    }


def _within(raw: dict[str, Any], name: str, key: str) -> Any:
    found = raw.get(name)
    return found.get(key) if isinstance(found, dict) else None


def _own(raw: dict[str, Any]) -> dict[str, Any]:
    """The company's own fields by their names: each has a text, a number, a date, or is true or false."""
    fields = raw.get("CustomField")
    shown = [one for one in fields if isinstance(one, dict)] if isinstance(fields, list) else []
    return {
        one["Name"]: value
        for one in shown
        if isinstance(one.get("Name"), str)
        and (value := next(iter(_custom(one, **_HELD).values()), None)) is not None
    }


def _custom(raw: dict[str, Any], **names: str) -> dict[str, Any]:
    """Members by our names, where they are not empty; numbers are texts, with their digits."""
    found = {ours: raw[theirs] for ours, theirs in names.items() if raw.get(theirs) not in (None, "")}
    return {
        name: str(value)
        if isinstance(value, Decimal | float | int) and not isinstance(value, bool)
        else value
        for name, value in found.items()
    }


def _address(raw: dict[str, Any]) -> UnifiedAddress | None:
    """An address, which may be no more than free lines; a country has three letters, or is a text, or is missing."""
    lines = [raw.get(name) for name in _LINES]
    return address(
        {
            "line1": lines[0], "line2": ", ".join(line for line in lines[1:] if line), "city": raw.get("City"),
            "state": raw.get("CountrySubDivisionCode"), "postal_code": raw.get("PostalCode"),
            "country": raw.get("Country"),
        }
    )  # fmt: skip


def _place(place: UnifiedAddress | None) -> dict[str, str]:
    of = place or UnifiedAddress()
    lines = (of.line1, of.line2, None, None, None)
    return {
        **{name: line or "" for name, line in zip(_LINES, lines, strict=True)},
        "City": of.city or "", "CountrySubDivisionCode": of.state or "", "PostalCode": of.postal_code or "",
        "Country": of.country or "",
    }  # fmt: skip
