"""How objects looked before basil (2025-03-31): events keep the shape of the version they were made at.

Source: https://docs.stripe.com/changelog/basil (what moved on invoices and lines) and the 2024-06-20
OpenAPI file.
"""

from __future__ import annotations

import re
from typing import Any

LATEST = "2026-09-30.endive"
OLD = "2024-06-20"
_BASIL = "2025-03-31"


def is_version(text: str) -> bool:
    """Whether this is the form of a version: a date, named since acacia."""
    return re.fullmatch(r"20\d\d-\d\d-\d\d(\.[a-z]+)?", text) is not None


def as_of(version: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Render an object, given as the API shows it now, in the shape of `version`."""
    if version >= _BASIL:
        return shown
    if shown["object"] == "invoice":
        return _invoice(shown)
    return {name: value for name, value in shown.items() if name != "customer_account"}


_NEW_ON_INVOICES = (
    "automatically_finalizes_at",
    "amount_overpaid",
    "customer_account",
    "parent",
    "total_pretax_credit_amounts",
    "total_taxes",
)
_NEW_ON_LINES = ("parent", "pretax_credit_amounts", "pricing", "quantity_decimal", "subtotal", "taxes")


def _invoice(shown: dict[str, Any]) -> dict[str, Any]:
    paid = shown["status"] == "paid"
    subscription = shown["parent"]["subscription_details"]["subscription"] if shown["parent"] else None
    suffix = shown.get("id", "in_upcoming").removeprefix("in_")
    taxes = [_tax(tax) for tax in shown["total_taxes"]]
    old = {name: value for name, value in shown.items() if name not in _NEW_ON_INVOICES}
    old["automatic_tax"] = {name: shown["automatic_tax"][name] for name in ("enabled", "liability", "status")}
    old.update(
        application_fee_amount=None,
        charge=f"ch_{suffix}" if paid else None,
        discount=None,
        paid=paid,
        paid_out_of_band=False,
        payment_intent=f"pi_{suffix}" if shown["status_transitions"]["finalized_at"] else None,
        quote=None,
        subscription=subscription,
        subscription_details={"metadata": {} if subscription else None},
        tax=sum(tax["amount"] for tax in taxes) if taxes else None,
        total_tax_amounts=taxes,
        transfer_data=None,
        lines={**shown["lines"], "data": [_line(line) for line in shown["lines"]["data"]]},
    )
    return old


def _line(line: dict[str, Any]) -> dict[str, Any]:
    details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
    prices = line["pricing"]["price_details"]
    unit = line["pricing"]["unit_amount_decimal"]
    old = {name: value for name, value in line.items() if name not in _NEW_ON_LINES}
    old.update(
        amount_excluding_tax=line["amount"]
        - sum(tax["amount"] for tax in line["taxes"] if tax["tax_behavior"] == "inclusive"),
        price={
            "id": prices["price"],
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "created": line["period"]["start"],
            "currency": line["currency"],
            "livemode": line["livemode"],
            "metadata": {},
            "product": prices["product"],
            "type": "recurring" if line["subscription"] else "one_time",
            "unit_amount": None if "." in unit else int(unit),
            "unit_amount_decimal": unit,
        },
        proration=details["proration"],
        proration_details=details["proration_details"],
        tax_amounts=[_tax(tax) for tax in line["taxes"]],
        tax_rates=[],
        type="subscription" if line["parent"]["subscription_item_details"] else "invoiceitem",
        unit_amount_excluding_tax=unit,
    )
    for name in ("invoice_item", "subscription_item"):
        if details.get(name):
            old[name] = details[name]
    return old


def _tax(tax: dict[str, Any]) -> dict[str, Any]:
    return {
        "amount": tax["amount"],
        "inclusive": tax["tax_behavior"] == "inclusive",
        "tax_rate": tax["tax_rate_details"]["tax_rate"],
        "taxability_reason": tax["taxability_reason"],
        "taxable_amount": tax["taxable_amount"],
    }
