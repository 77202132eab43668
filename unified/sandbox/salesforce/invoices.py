"""Invoices and their lines: of Salesforce's own objects, of its older package, and of an org's own.

Source: https://developer.salesforce.com/docs/platform/object-reference/references/standard-objects/object-invoice.html,
https://developer.salesforce.com/docs/revenue/billing-developer/guide/blng__invoice__c.html. All three hold the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from unified.sandbox.data import CURRENCY_BY_CODE, PRODUCTS, decimal_text, price
from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.salesforce.fields import ALWAYS, FieldType, Record, identifier, many, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unified.sandbox.tables.table import New

LINES = 3
"""Lines of each generated invoice."""

_STATUSES = ("Posted",) * 6 + ("Draft", "Canceled", "Paid", "Paid")
_CURRENCIES = ("usd",) * 6 + ("eur",) * 3 + ("gbp", "jpy", "kwd")

FIELDS: dict[str, Sequence[FieldType]] = {
    "Invoice": (
        *ALWAYS,
        FieldType("BillingAccountId", "reference", refers=("Account",), relationship="BillingAccount", writable=False),
        *many("InvoiceNumber", "DocumentNumber", "Status", "Description", writable=False),
        *many("InvoiceDate", "DueDate", kind="date", writable=False),
        *many("TotalAmount", "TotalTaxAmount", "TotalAmountWithTax", "Balance", kind="currency", writable=False),
    ),
    "InvoiceLine": (
        *ALWAYS,
        FieldType("InvoiceId", "reference", refers=("Invoice",), relationship="Invoice", writable=False),
        *many("Name", "Description", "Type", writable=False),
        FieldType("Product2Id", "reference", refers=("Product2",), writable=False),
        FieldType("Quantity", "double", writable=False),
        *many("UnitPrice", "LineAmount", "ChargeAmount", "ChargeTaxAmount", kind="currency", writable=False),
        *many("InvoiceLineStartDate", "InvoiceLineEndDate", kind="date", writable=False),
    ),
}  # fmt: skip


def _other(name: str) -> FieldType:
    """A field of an object of the org's own, by its name."""
    money = ("Total", "Amount", "Price", "Balance", "Subtotal", "Netto", "Brutto", "Steuer", "preis")
    if name.endswith("Date__c") or "datum" in name:
        return FieldType(name, "date")
    if any(word in name for word in money):
        return FieldType(name, "currency")
    return FieldType(name, "double" if name.endswith(("Quantity__c", "Menge__c")) else "string")


def _objects(
    invoice: str, line: str, account: str, parent: str, names: dict[str, str], lines: dict[str, str]
) -> None:
    """Declare the fields of invoices that are kept in other objects, with the names of theirs for ours."""
    FIELDS[invoice] = (
        *ALWAYS, FieldType("Name"), FieldType(account, "reference", refers=("Account",)), *map(_other, names.values()),
    )  # fmt: skip
    FIELDS[line] = (
        *ALWAYS, FieldType("Name"), FieldType(parent, "reference", refers=(invoice,)), *map(_other, lines.values()),
    )  # fmt: skip


_PACKAGE = {
    "Status": "blng__InvoiceStatus__c", "InvoiceDate": "blng__InvoiceDate__c", "DueDate": "blng__DueDate__c",
    "TotalAmount": "blng__Subtotal__c", "TotalTaxAmount": "blng__TaxAmount__c",
    "TotalAmountWithTax": "blng__TotalAmount__c", "Balance": "blng__Balance__c",
}  # fmt: skip
_PACKAGE_LINES = {
    "Quantity": "blng__Quantity__c", "UnitPrice": "blng__UnitPrice__c", "ChargeAmount": "blng__Subtotal__c",
    "ChargeTaxAmount": "blng__TaxAmount__c",
}  # fmt: skip
_OWN = {
    "InvoiceNumber": "Invoice_Number__c", "Status": "Status__c", "InvoiceDate": "Invoice_Date__c",
    "DueDate": "Due_Date__c", "TotalAmount": "Subtotal__c", "TotalTaxAmount": "Tax_Amount__c",
    "TotalAmountWithTax": "Total_Amount__c",
}  # fmt: skip
_OWN_LINES = {"Quantity": "Quantity__c", "UnitPrice": "Unit_Price__c", "ChargeAmount": "Amount__c"}
_objects(
    "blng__Invoice__c",
    "blng__InvoiceLine__c",
    "blng__Account__c",
    "blng__Invoice__c",
    _PACKAGE,
    _PACKAGE_LINES,
)
_objects("Rechnung__c", "Rechnung_Line__c", "Customer__c", "Rechnung__c", _OWN, _OWN_LINES)


def _invoice_as(account: str, names: Mapping[str, str]) -> Callable[[New], Record]:
    def make(new: New) -> Record:
        made = _invoice(new)
        renamed = {theirs: made[ours] for ours, theirs in names.items()}
        return {
            "Name": made["InvoiceNumber"], account: made["BillingAccountId"], **renamed,
            "CurrencyIsoCode": made["CurrencyIsoCode"],
        }  # fmt: skip

    return make


def _line_as(invoices: str, parent: str, names: Mapping[str, str]) -> Callable[[New], Record]:
    def make(new: New) -> Record:
        made = _line(new, invoices)
        renamed = {theirs: made[ours] for ours, theirs in names.items()}
        return {
            "Name": made["Name"], parent: made["InvoiceId"], **renamed, "CurrencyIsoCode": made["CurrencyIsoCode"]
        }  # fmt: skip

    return make


def _line_amounts(invoice: int, number: int, currency: str) -> tuple[int, int, int]:
    """Quantity, unit price and tax of a line, in the currency's smallest unit."""
    draw = Draw(seed_of("line", invoice), number)
    quantity, unit = draw.pick((1, 1, 2, 12)), price(draw, CURRENCY_BY_CODE[currency])
    return quantity, unit, quantity * unit * 19 // 100 if draw.chance(500) else 0


def _invoice(new: New) -> Record:
    draw = Draw(seed_of("invoice", new.index))
    currency, status = draw.pick(_CURRENCIES), draw.pick(_STATUSES)
    lines = [_line_amounts(new.index, number, currency) for number in range(LINES)]
    charge, tax = sum(quantity * unit for quantity, unit, _ in lines), sum(tax for *_, tax in lines)
    issued = datetime.fromtimestamp(new.created, UTC).date()
    accounts = new.account.rows["Account"]

    def amount(units: int) -> float:
        return float(decimal_text(units, CURRENCY_BY_CODE[currency].decimals))

    return {
        "BillingAccountId": accounts.id_of(draw.below(40)), "InvoiceNumber": f"INV-{new.index:06}",
        "DocumentNumber": f"{new.index:08}", "Status": status, "Description": None,
        "InvoiceDate": issued.isoformat(), "DueDate": (issued + timedelta(days=30)).isoformat(),
        "TotalAmount": amount(charge), "TotalTaxAmount": amount(tax), "TotalAmountWithTax": amount(charge + tax),
        "Balance": 0.0 if status in ("Paid", "Canceled") else amount(charge + tax),
        "CurrencyIsoCode": currency.upper(),
    }  # fmt: skip


def _line(new: New, invoices: str = "Invoice") -> Record:
    invoice, number = divmod(new.index, LINES)
    rows = new.account.rows[invoices]
    row = rows.find(rows.id_of(invoice))
    code = row.fields["CurrencyIsoCode"] if row else "USD"
    quantity, unit, tax = _line_amounts(invoice, number, code.lower())
    decimals = CURRENCY_BY_CODE[code.lower()].decimals

    def amount(units: int) -> float:
        return float(decimal_text(units, decimals))

    return {
        "InvoiceId": rows.id_of(invoice), "Name": Draw(invoice, number).pick(PRODUCTS), "Description": None,
        "Type": "Charge", "Product2Id": identifier("01t", number), "Quantity": float(quantity),
        "UnitPrice": amount(unit), "LineAmount": amount(quantity * unit), "ChargeAmount": amount(quantity * unit),
        "ChargeTaxAmount": amount(tax), "InvoiceLineStartDate": None, "InvoiceLineEndDate": None,
        "CurrencyIsoCode": code,
    }  # fmt: skip


LINES_OF = {
    "Invoice": "InvoiceLine", "blng__Invoice__c": "blng__InvoiceLine__c", "Rechnung__c": "Rechnung_Line__c",
}  # fmt: skip
"""By object of invoices, that of their lines."""

TABLES = (
    table("Invoice", "3tt", _invoice, 120),
    table("InvoiceLine", "5TV", _line, 360),
    table("blng__Invoice__c", "a0I", _invoice_as("blng__Account__c", _PACKAGE), 0),
    table("blng__InvoiceLine__c", "a0L", _line_as("blng__Invoice__c", "blng__Invoice__c", _PACKAGE_LINES), 0),
    table("Rechnung__c", "a1I", _invoice_as("Customer__c", _OWN), 0),
    table("Rechnung_Line__c", "a1L", _line_as("Rechnung__c", "Rechnung__c", _OWN_LINES), 0),
)
