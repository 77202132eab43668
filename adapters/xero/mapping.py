"""Xero's resources as unified records, and customers as what Xero takes. Pure functions only.

An empty text means that there is no value. Amounts are numbers in whole units of the currency; none is recomputed. A
date of a document is its organisation's own, and is never shifted.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from unified.kit.streams import Origin
from unified.kit.writing.changes import choose
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.invoice import InvoiceKind, InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.money import exact, settle
from unified.schema.reading import address, currency, joined, number, text
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import Unusable

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

WRITABLE = frozenset(("name", "email", "phone", "tax_number", "billing_address", "shipping_address"))
"""What a contact keeps when it is written."""

# What follows the milliseconds is the offset of a server, and no part of the time.
_INSTANT = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# https://developer.xero.com/documentation/api/accounting/types#invoices; a paid one may have been paid by credit.
_STATUSES = {
    "DRAFT": InvoiceStatus.DRAFT, "SUBMITTED": InvoiceStatus.SUBMITTED, "AUTHORISED": InvoiceStatus.OPEN,
    "PAID": InvoiceStatus.PAID, "VOIDED": InvoiceStatus.VOID,
}  # fmt: skip
_KINDS = {"ACCREC": InvoiceKind.RECEIVABLE, "ACCPAY": InvoiceKind.PAYABLE}

_MAIL, _STREET = "POBOX", "STREET"
_ADDRESS = ("AddressLine1", "AddressLine2", "AddressLine3", "AddressLine4")
_PHONES = ("DEFAULT", "MOBILE", "DDI", "OFFICE")
_PHONE = ("PhoneCountryCode", "PhoneAreaCode", "PhoneNumber")


def instant(value: str | None) -> datetime | None:
    """A time as ``/Date(ms+hhmm)/``, of which the milliseconds are UTC; None where there is none.

    Raises:
        ValueError: If it has another form.
    """
    if not value:
        return None
    found = _INSTANT.fullmatch(value)
    if found is None:
        raise ValueError(f"not a time of the form /Date(ms)/: {value!r:.60}")
    try:
        return _EPOCH + timedelta(milliseconds=int(found[1]))
    except OverflowError:
        raise ValueError(f"not a time between the years 1 and 9999: {value}") from None


def to_customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a contact. One that was only ever billed by is one as well: its flags may change without a stamp."""
    unusable = Unusable()
    name, person = (
        text(raw.get("Name")),
        unusable.read("contact_person", joined, _named(raw, "FirstName", "LastName")),
    )
    is_company = person is not None and person != name
    phones = unusable.read("phone", _phones, raw.get("Phones") or []) or []
    addresses = unusable.read("addresses", _by_type, raw.get("Addresses") or []) or {}
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["ContactID"]),
        updated_at=unusable.read("updated_at", instant, raw.get("UpdatedDateUTC")),
        custom_fields=_custom(
            raw, contact_status="ContactStatus", is_customer="IsCustomer", is_supplier="IsSupplier",
            contact_number="ContactNumber", account_number="AccountNumber", company_number="CompanyNumber",
            first_name="FirstName", last_name="LastName", website="Website",
        ),
        raw_data=raw,
        **unusable.reach([raw.get("EmailAddress"), *_further_mails(raw)], phones),
        name=name,
        company=name if is_company else None,
        kind=CustomerKind.COMPANY if is_company else CustomerKind.PERSON if person else None,
        tax_number=text(raw.get("TaxNumber")),
        currency=unusable.read("currency", currency, raw.get("DefaultCurrency")),
        billing_address=unusable.read("billing_address", _address, addresses.get(_MAIL) or {}),
        shipping_address=unusable.read("shipping_address", _address, addresses.get(_STREET) or {}),
    )  # fmt: skip


def to_invoice(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    """Map an invoice or a bill with its lines.

    A voided one keeps its total, and nothing is due on it: its status decides. Where ``LineAmountTypes`` is
    ``Inclusive``, a line's amount contains its tax and the subtotal does not.
    """
    unusable = Unusable()
    written, status, contact = raw["CurrencyCode"], text(raw.get("Status")), raw.get("Contact") or {}
    paid, credited = _amount(raw, "AmountPaid", written), _amount(raw, "AmountCredited", written)
    known = unusable.read("status", _STATUSES.get, status or "")
    if known is InvoiceStatus.OPEN and (paid or credited):
        known = InvoiceStatus.PARTIALLY_PAID

    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["InvoiceID"]),
        updated_at=unusable.read("updated_at", instant, raw.get("UpdatedDateUTC")),
        custom_fields=_custom(
            raw, reference="Reference", line_amount_types="LineAmountTypes", currency_rate="CurrencyRate",
            amount_credited="AmountCredited", rounding_amount="RoundingAmount", entered_total="EnteredTotal",
            sent_to_contact="SentToContact", repeating_invoice_id="RepeatingInvoiceID",
            source_document_url="Url",
        ),
        raw_data=raw,
        customer_id=text(contact.get("ContactID")),
        invoice_number=text(raw.get("InvoiceNumber")),
        status=known,
        remote_status=status,
        kind=_KINDS[raw["Type"]],
        currency=unusable.read("currency", currency, written),
        subtotal=_amount(raw, "SubTotal", written),
        tax=_amount(raw, "TotalTax", written),
        discount=_amount(raw, "TotalDiscount", written),
        total=_needed(raw, "Total", written),
        amount_due=_amount(raw, "AmountDue", written),
        amount_paid=paid,
        amount_remaining=_amount(raw, "AmountDue", written),
        issue_date=_day(raw, "issue_date", "Date", unusable),
        due_date=_day(raw, "due_date", "DueDate", unusable),
        paid_date=unusable.read("paid_date", instant, raw.get("FullyPaidOnDate")),
        line_items=unusable.each(
            "line_items", raw.get("LineItems") or [], lambda line, part: _line(line, written, part)
        ),
    )  # fmt: skip


def to_credit_note(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a credit note, called by its number."""
    return _record(raw, origin, "CreditNoteID", text(raw.get("CreditNoteNumber")))


def to_payment(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a payment, called by its reference or by the invoice that it pays."""
    invoice = raw.get("Invoice") or {}
    return _record(raw, origin, "PaymentID", text(raw.get("Reference")) or text(invoice.get("InvoiceNumber")))


def _record(raw: dict[str, Any], origin: Origin, key: str, name: str | None) -> UnifiedRecord:
    unusable = Unusable()
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw[key]),
        updated_at=unusable.read("updated_at", instant, raw.get("UpdatedDateUTC")),
        custom_fields=_custom(
            raw, status="Status", type="Type", total="Total", amount="Amount", remaining_credit="RemainingCredit",
            currency="CurrencyCode", currency_rate="CurrencyRate",
        ),
        raw_data=raw,
        name=name,
    )  # fmt: skip


def customer_body(record: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    """The body that creates or updates a contact; an empty text empties a field.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    parts: dict[str, dict[str, Any]] = {
        "name": {"Name": record.name},
        "email": {"EmailAddress": record.email},
        "phone": {"Phones": record.phone},
        "tax_number": {"TaxNumber": record.tax_number},
        "billing_address": {_MAIL: record.billing_address},
        "shipping_address": {_STREET: record.shipping_address},
    }
    chosen, _ = choose(parts, {}, fields)
    addresses = [_written(kind, chosen.pop(kind)) for kind in (_MAIL, _STREET) if kind in chosen]
    body: dict[str, Any] = {name: value or "" for name, value in chosen.items()}
    if "Phones" in body:
        whole = {**dict.fromkeys(_PHONE, ""), "PhoneNumber": body["Phones"]}
        body["Phones"] = [{"PhoneType": "DEFAULT", **whole}]
    return {**body, **({"Addresses": addresses} if addresses else {})}


def _written(kind: str, place: UnifiedAddress | None) -> dict[str, Any]:
    of = place or UnifiedAddress()
    lines = (of.line1, of.line2, None, None)
    return {
        "AddressType": kind,
        **{name: line or "" for name, line in zip(_ADDRESS, lines, strict=True)},
        "City": of.city or "", "Region": of.state or "", "PostalCode": of.postal_code or "",
        "Country": of.country or "", "AttentionTo": of.name or "",
    }  # fmt: skip


def _line(raw: dict[str, Any], currency: str, unusable: Unusable) -> UnifiedLineItem:
    """A line; its price has up to four digits behind the point, as it was asked for."""
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": text(raw.get("LineItemID")),
            "description": text(raw.get("Description")),
            "quantity": unusable.read("quantity", number, raw.get("Quantity")),
            "unit_price": _amount(raw, "UnitAmount", currency),
            "amount": _amount(raw, "LineAmount", currency),
            "tax": _amount(raw, "TaxAmount", currency),
            "discount": _amount(raw, "DiscountAmount", currency),
            "item_id": text(raw.get("ItemCode")),
        },
    )


def _amount(raw: dict[str, Any], name: str, currency: str) -> Decimal | None:
    """An amount by its digits."""
    value = raw.get(name)
    if isinstance(value, bool):
        raise ValueError(f"{name} is not an amount: {value}")  # noqa: TRY004 - see unified.schema.reading
    found = number(value)
    return None if found is None else settle(exact(found), currency)


def _needed(raw: dict[str, Any], name: str, currency: str) -> Decimal:
    found = _amount(raw, name, currency)
    if found is None:
        raise ValueError(f"an invoice has a {name}")
    return found


def _day(raw: dict[str, Any], name: str, key: str, unusable: Unusable) -> datetime | None:
    """A document's date, as midnight UTC: ``DateString`` is the plain date, the other form a time of that day."""
    if plain := raw.get(f"{key}String"):
        return unusable.time(name, plain)
    found = unusable.read(name, instant, raw.get(key))
    return None if found is None else found.replace(hour=0, minute=0, second=0, microsecond=0)


def _address(raw: dict[str, Any]) -> UnifiedAddress | None:
    lines = [raw.get(name) for name in _ADDRESS]
    return address(
        {
            "line1": lines[0], "line2": ", ".join(line for line in lines[1:] if line), "city": raw.get("City"),
            "state": raw.get("Region"), "postal_code": raw.get("PostalCode"), "country": raw.get("Country"),
            "name": raw.get("AttentionTo"),
        }
    )  # fmt: skip


def _by_type(places: list[dict[str, Any]]) -> dict[str, Any]:
    return {place["AddressType"]: place for place in places}


def _phones(listed: list[dict[str, Any]]) -> list[str]:
    """Numbers that are filled in; Xero lists all kinds, empty or not."""
    by_type = {one["PhoneType"]: joined(_named(one, *_PHONE)) for one in listed}
    return [found for kind in _PHONES if (found := by_type.get(kind))]


def _further_mails(raw: dict[str, Any]) -> list[Any]:
    people = raw.get("ContactPersons")
    return (
        [one.get("EmailAddress") for one in people if isinstance(one, dict)]
        if isinstance(people, list)
        else []
    )


def _named(raw: dict[str, Any], *names: str) -> list[str | None]:
    return [raw.get(name) for name in names]


def _custom(raw: dict[str, Any], **names: str) -> dict[str, Any]:
    """Further fields by names of ours; a number with a fraction as its digits."""
    found = {ours: raw[theirs] for ours, theirs in names.items() if raw.get(theirs) not in (None, "")}
    return {
        name: str(value) if isinstance(value, Decimal | float) else value for name, value in found.items()
    }
