"""What an invoice comes to: its status, the amounts that follow from its lines, and the times of what happened to it.

Amounts add up as Stripe's do: subtotal - discounts + exclusive taxes + shipping = total, and what is due follows from
the total, the starting balance and credit notes. Not here: how an invoice is made up (``invoices``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.data import CURRENCY_BY_CODE, snap

if TYPE_CHECKING:
    from unified.sandbox.draw import Draw


def settle(
    invoice: dict[str, Any], status: str | None, *, partly_paid: bool = False, credit: bool = False
) -> None:
    """Set the status and every amount that follows from lines, shipping and balances.

    Args:
        invoice: its lines in `lines`; changed in place.
        status: the status it takes; an invoice with nothing due is paid once it is open.
        partly_paid: an open invoice has a tenth paid.
        credit: part of it was credited: before payment, or after where it is paid.
    """
    currency = CURRENCY_BY_CODE[invoice["currency"]]
    lines = invoice["lines"]
    taxes: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines:
        for tax in line["taxes"]:
            key = (tax["tax_behavior"], tax["tax_rate_details"]["tax_rate"])
            if key in taxes:
                taxes[key]["amount"] += tax["amount"]
                taxes[key]["taxable_amount"] += tax["taxable_amount"]
            else:
                taxes[key] = dict(tax)
    off = sum(discount["amount"] for line in lines for discount in line["discount_amounts"])
    subtotal = sum(line["amount"] for line in lines)
    exclusive = sum(tax["amount"] for tax in taxes.values() if tax["tax_behavior"] == "exclusive")
    inclusive = sum(tax["amount"] for tax in taxes.values() if tax["tax_behavior"] == "inclusive")
    shipping = invoice["shipping_cost"]["amount_total"] if invoice["shipping_cost"] else 0
    total = subtotal - off + exclusive + shipping
    if credit and total > 0:
        kind = "post_payment_credit_notes_amount" if status == "paid" else "pre_payment_credit_notes_amount"
        invoice[kind] = snap(total // 5, currency)
    balance = total + invoice["starting_balance"] - invoice["pre_payment_credit_notes_amount"]
    due = max(0, balance)
    if status == "open" and due == 0:
        status = "paid"
    paid = due if status == "paid" else snap(due // 10, currency) if status == "open" and partly_paid else 0
    invoice.update(
        status=status,
        subtotal=subtotal,
        subtotal_excluding_tax=subtotal - inclusive,
        total=total,
        total_excluding_tax=total - exclusive - inclusive,
        total_discount_amounts=[{"amount": off, "discount": name} for name in invoice["discounts"]],
        total_taxes=list(taxes.values()),
        amount_shipping=shipping,
        amount_due=due,
        amount_paid=paid,
        amount_remaining=due - paid,
        ending_balance=None if status in ("draft", None) else min(0, balance),
    )


def dated(invoice: dict[str, Any], draw: Draw, closed: int) -> None:
    """Set the times that the status asks for; `closed` is when it was paid, voided or written off."""
    status, created = invoice["status"], invoice["created"]
    finalized = None if status in ("draft", None) else min(created + draw.below(3600), closed)
    invoice["effective_at"] = finalized
    invoice["status_transitions"] = {
        "finalized_at": finalized,
        "marked_uncollectible_at": closed if status == "uncollectible" else None,
        "paid_at": closed if status == "paid" else None,
        "voided_at": closed if status == "void" else None,
    }
    if finalized is None:
        invoice.update(
            number=None, attempted=False, attempt_count=0, hosted_invoice_url=None, invoice_pdf=None
        )
