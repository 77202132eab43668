"""Xero's resources as the stand-in generates and settles them.

Source: https://developer.xero.com/documentation/api/accounting (``contacts``, ``invoices``, ``creditnotes``,
``payments``). Not here: how they are listed and written (`unified.sandbox.xero.api`).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unified.sandbox.clock import DAY
from unified.sandbox.data import PRODUCTS, person
from unified.sandbox.draw import Draw, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.tables.table import New, Record

_CURRENCIES = ("NZD",) * 6 + ("USD", "EUR", "AUD")
_RATES = {"USD": "0.6132", "EUR": "0.5623", "AUD": "0.9187"}
_STATUSES = ("PAID",) * 5 + ("AUTHORISED",) * 3 + ("DRAFT", "SUBMITTED", "VOIDED", "DELETED")
_PHONES = ("DDI", "DEFAULT", "FAX", "MOBILE")
BLANK: dict[str, Any] = {
    "ContactStatus": "ACTIVE", "Name": "", "FirstName": "", "LastName": "", "EmailAddress": "", "TaxNumber": "",
    "BankAccountDetails": "", "AccountNumber": "", "ContactPersons": [], "IsSupplier": False, "IsCustomer": False,
    "Addresses": [{"AddressType": kind} for kind in ("STREET", "POBOX")],
    "Phones": [
        {"PhoneType": kind, "PhoneNumber": "", "PhoneAreaCode": "", "PhoneCountryCode": ""} for kind in _PHONES
    ],
    "ContactGroups": [], "HasAttachments": False, "MergedToContactID": None,
}  # fmt: skip


def guid(kind: str) -> Callable[[int, int], str]:
    """Number and seed → an id, another one for each kind."""
    return lambda index, seed: str(
        uuid.UUID(int=seed_of(seed, kind, index) << 64 | seed_of(index, kind, seed))
    )


def shown_time(seconds: float) -> str:
    """A time as Xero writes it; the offset behind it says nothing."""
    return f"/Date({int(seconds * 1000)}+1300)/"


TIMES: dict[str, Any] = {"updated": "UpdatedDateUTC", "moment": shown_time}


def _day(seconds: float) -> dict[str, str]:
    day = int(seconds // DAY * DAY)
    return {
        "plain": f"{datetime.fromtimestamp(day, UTC):%Y-%m-%dT00:00:00}",
        "ms": f"/Date({day * 1000}+0000)/",
    }


def contact(new: New) -> Record:
    """https://developer.xero.com/documentation/api/accounting/contacts."""
    who, draw = person(new.draw), Draw(seed_of("contact", new.index))
    mail = {
        "AddressLine1": who.street, "City": who.city.name, "Region": who.city.state or "",
        "PostalCode": who.postal_code, "Country": who.city.country, "AttentionTo": "",
    }  # fmt: skip
    return {
        **BLANK, "ContactStatus": "ARCHIVED" if draw.chance(30) else "ACTIVE", "Name": f"{who.company} {new.index}",
        "FirstName": who.first,
        "LastName": who.last, "EmailAddress": who.email or "",
        "AccountNumber": f"A{new.index:05}" if draw.chance(300) else "",
        "Addresses": [
            {"AddressType": "STREET"}, {"AddressType": "POBOX", **(mail if draw.chance(800) else {})},
        ],
        "Phones": [
            {**one, "PhoneNumber": who.phone or ""} if one["PhoneType"] == "DEFAULT" else one
            for one in BLANK["Phones"]
        ],
        "IsSupplier": draw.chance(200), "IsCustomer": draw.chance(700),
    }  # fmt: skip


def invoice(new: New) -> Record:
    """https://developer.xero.com/documentation/api/accounting/invoices: amounts are numbers."""
    draw, contacts = new.draw, new.account.rows["Contacts"]
    owner = contacts.id_of(draw.below(max(1, len(contacts))))
    row = contacts.find(owner)
    currency, kind = draw.pick(_CURRENCIES), draw.pick(("ACCREC",) * 4 + ("ACCPAY",))
    dated, due = _day(new.created), _day(new.created + 30 * DAY)
    return {
        "Type": kind, "InvoiceNumber": f"INV-{new.index:05}", "Reference": "", "Status": draw.pick(_STATUSES),
        "Contact": {"ContactID": owner, "Name": row.fields["Name"] if row else ""}, "CurrencyCode": currency,
        "LineAmountTypes": draw.pick(("Exclusive", "Inclusive", "NoTax")),
        "LineItems": [_line(new, at) for at in range(draw.between(1, 5))],
        "DateString": dated["plain"], "Date": dated["ms"], "DueDateString": due["plain"], "DueDate": due["ms"],
        "SentToContact": False, "HasAttachments": False, "IsDiscounted": False, "Payments": [],
        "CreditNotes": [], "AmountCredited": 0,
        **({"CurrencyRate": float(_RATES[currency])} if currency in _RATES else {}),
    }  # fmt: skip


def _line(new: New, at: int) -> Record:
    draw = Draw(seed_of("line", new.index), at)
    cents, quantity = draw.between(100, 99_999), draw.pick((1, 1, 2, 3))
    return {
        "LineItemID": guid("line")(new.index, at), "Description": draw.pick(PRODUCTS), "Quantity": float(quantity),
        "UnitAmount": cents / 100 + (0.0025 if at == 1 else 0),
        "LineAmount": cents * quantity / 100, "TaxAmount": 0.0, "AccountCode": "200",
        "TaxType": "OUTPUT2", "Tracking": [],
    }  # fmt: skip


def settled(document: Record) -> Record:
    """The amounts that follow from lines and status: tax of 15 %, within the lines or on top of them."""
    kind, status = document["LineAmountTypes"], document["Status"]
    lines, net, tax = [], 0, 0
    for line in document["LineItems"]:
        amount = round(line["LineAmount"] * 100)
        part = {"Exclusive": round(amount * 15 / 100), "Inclusive": round(amount * 15 / 115)}.get(kind, 0)
        lines.append({**line, "TaxAmount": part / 100})
        tax, net = tax + part, net + amount - (part if kind == "Inclusive" else 0)
    total = net + tax
    paid = total if status == "PAID" else 0
    due = 0 if status in ("PAID", "VOIDED", "DELETED") else total
    found = {
        **document,
        "LineItems": lines,
        "SubTotal": net / 100,
        "TotalTax": tax / 100,
        "Total": total / 100,
    }
    if "InvoiceNumber" in document:
        found |= {"AmountPaid": paid / 100, "AmountDue": due / 100}
        if status == "PAID":
            found["FullyPaidOnDate"] = document["DueDate"]
    else:
        found["RemainingCredit"] = total / 100 if status == "AUTHORISED" else 0
    return found


def credit_note(new: New) -> Record:
    """https://developer.xero.com/documentation/api/accounting/creditnotes."""
    drawn = invoice(new)
    kept = ("Contact", "CurrencyCode", "LineAmountTypes", "LineItems", "DateString", "Date")
    return {
        **{name: drawn[name] for name in kept}, "Type": f"{drawn['Type']}CREDIT",
        "CreditNoteNumber": f"CN-{new.index:05}", "Reference": "", "Status": "AUTHORISED", "Allocations": [],
        "HasAttachments": False,
    }  # fmt: skip


def payment(new: New) -> Record:
    """https://developer.xero.com/documentation/api/accounting/payments."""
    invoices, draw = new.account.rows["Invoices"], new.draw
    paid = invoices.id_of(draw.below(max(1, len(invoices))))
    row = invoices.find(paid)
    shown = ("InvoiceNumber", "Type", "Contact", "CurrencyCode")
    invoiced = {"Type": "ACCREC"} if row is None else {name: row.fields[name] for name in shown}
    return {
        "Date": _day(new.created)["ms"], "BankAmount": 10.5, "Amount": 10.5, "Reference": "", "CurrencyRate": 1.0,
        "PaymentType": f"{invoiced['Type']}PAYMENT", "Status": "AUTHORISED", "IsReconciled": False, "HasAccount": False,
        "Invoice": {"InvoiceID": paid, **invoiced},
    }  # fmt: skip
