"""Stripe's invoices and lines, as pure functions of (seed, index), in the shape of versions since basil.

Here an invoice carries all its lines; what the API embeds (ten) is cut when it is shown. What its amounts add up to:
``settlement``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.clock import DAY
from unified.sandbox.data import CURRENCIES, PRODUCTS, Currency, decimal_text, price, snap
from unified.sandbox.draw import Draw, IdCodec, seed_of
from unified.sandbox.history import creation_times
from unified.sandbox.stripe.records import Customers, stripe_address
from unified.sandbox.stripe.settlement import dated, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LINES = 512
"""Line ids leave room for so many."""
EMBEDDED_LINES = 10
"""Lines that an invoice object or event payload holds at most; the rest is behind `/lines`."""

_STATUSES = (
    ("paid",) * 144 + ("open",) * 24 + ("draft",) * 12 + ("void",) * 10 + ("uncollectible",) * 8 + (None,) * 2
)
_TAX_BASIS_POINTS = (700, 1900, 2000, 2550)


class Invoices:
    """Invoices as Stripe shows them (https://docs.stripe.com/api/invoices/object)."""

    def __init__(self, seed: int, count: int, until: int, customers: Customers, *, livemode: bool) -> None:
        self.count = count
        self.created = creation_times(count, until)
        self.ids = IdCodec("in_", 24, seed)
        self._until = until
        self._seed = seed_of(seed, "invoice")
        self._line_ids = IdCodec("il_", 24, seed)
        self._part_ids = IdCodec("", 14, seed)
        self._prices = [
            {"price": f"price_{part}", "product": f"prod_{part}"}
            for part in map(IdCodec("", 14, seed_of(seed, "product")).encode, range(len(PRODUCTS)))
        ]
        self._customers = customers
        self._livemode = livemode

    def invoice(
        self, index: int, *, created: int | None = None, line_count: int | None = None
    ) -> dict[str, Any]:
        """Invoice `index` with all its lines in `lines`; those beyond `count` need `created`."""
        draw = Draw(self._seed, index)
        created = self.created(index) if created is None else created
        currency = draw.pick(CURRENCIES)
        part = self._part_ids.encode(index)
        invoice_id = self.ids.encode(index)
        subscription = f"sub_{part}" if draw.chance(700) else None
        discounts = [f"di_{part}"] if draw.chance(150) else []
        lines = self._lines(
            draw,
            currency,
            invoice_id,
            index,
            count=_line_count(draw) if line_count is None else line_count,
            created=created,
            subscription=subscription,
            discount=discounts[0] if discounts else None,
        )
        status = draw.pick(_STATUSES)
        invoice = {
            "id": invoice_id,
            "object": "invoice",
            "currency": currency.code,
            **self._frame(draw, index, part, created=created, subscription=subscription),
            "discounts": discounts,
            "shipping_cost": _shipping(draw, currency),
            "starting_balance": snap(draw.pick((-500, 300)) * currency.step, currency)
            if draw.chance(80)
            else 0,
            "pre_payment_credit_notes_amount": 0,
            "post_payment_credit_notes_amount": 0,
            "lines": lines,
        }
        settle(invoice, status, partly_paid=draw.chance(100), credit=draw.chance(40))
        dated(
            invoice,
            draw,
            min(self._until, created + draw.between(1, 20 * DAY)) if created <= self._until else created,
        )
        return invoice

    def _frame(
        self, draw: Draw, index: int, part: str, *, created: int, subscription: str | None
    ) -> dict[str, Any]:
        """Everything that neither lines nor status decide."""
        accounts_only = draw.chance(10) or not self._customers.count
        # A customer exists before its invoices do.
        owner = draw.below(1 + index * self._customers.count // max(self.count, index + 1))
        who = self._customers.person(owner)
        by_mail = draw.chance(400)
        return {
            "account_country": "US",
            "account_name": "Sandbox, Inc.",
            "account_tax_ids": None,
            "amount_overpaid": 0,
            "application": None,
            "attempt_count": 1,
            "attempted": True,
            "auto_advance": False,
            "automatic_tax": {
                "disabled_reason": None,
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "automatically_finalizes_at": None,
            "billing_reason": "subscription_cycle" if subscription else "manual",
            "collection_method": "send_invoice" if by_mail else "charge_automatically",
            "created": created,
            "custom_fields": None,
            "customer": None if accounts_only else self._customers.ids.encode(owner),
            "customer_account": f"acct_{part}" if accounts_only else None,
            "customer_address": stripe_address(who),
            "customer_email": who.email,
            "customer_name": f"{who.first} {who.last}",
            "customer_phone": who.phone,
            "customer_shipping": None,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_source": None,
            "default_tax_rates": [],
            "description": "Vielen Dank für Ihren Auftrag, 谢谢" if draw.chance(100) else None,
            "due_date": created + 30 * DAY if by_mail else None,
            "footer": None,
            "from_invoice": None,
            "hosted_invoice_url": f"https://invoice.stripe.example/i/{part}",
            "invoice_pdf": f"https://pay.stripe.example/invoice/{part}/pdf",
            "issuer": {"type": "self"},
            "last_finalization_error": None,
            "latest_revision": None,
            "livemode": self._livemode,
            "metadata": {"order_id": str(500_000 + index)},
            "next_payment_attempt": None,
            "number": f"{part[:8].upper()}-{draw.between(1, 9999):04d}",
            "on_behalf_of": None,
            "parent": {
                "quote_details": None,
                "subscription_details": {"metadata": {}, "subscription": subscription},
                "type": "subscription_details",
            }
            if subscription
            else None,
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": created,
            "period_start": created - 30 * DAY,
            "receipt_number": None,
            "rendering": None,
            "shipping_details": None,
            "statement_descriptor": None,
            "test_clock": None,
            "total_pretax_credit_amounts": None,
            "webhooks_delivered_at": created + 10,
        }

    def _lines(
        self,
        draw: Draw,
        currency: Currency,
        invoice_id: str,
        index: int,
        *,
        count: int,
        created: int,
        subscription: str | None,
        discount: str | None,
    ) -> list[dict[str, Any]]:
        percent = draw.pick((10, 10, 15, 20, 20, 100)) if discount else 0
        behavior = draw.pick(("exclusive",) * 4 + ("inclusive",) + (None,) * 5)
        basis_points = draw.pick(_TAX_BASIS_POINTS)
        refunds_first = draw.chance(40)
        lines = []
        for number in range(count):
            amount, quantity, quantity_decimal, unit_decimal = _amount(draw, currency)
            credited = refunds_first and number == 0
            if credited:
                amount, unit_decimal = -amount, f"-{unit_decimal}"
            off = 0 if credited else snap(amount * percent // 100, currency)
            line_id = self._line_ids.encode(index * MAX_LINES + number)
            product = draw.below(len(PRODUCTS))
            lines.append(
                {
                    "id": line_id,
                    "object": "line_item",
                    "amount": amount,
                    "currency": currency.code,
                    "description": f"{quantity_decimal or quantity} × {PRODUCTS[product]}",  # noqa: RUF001 - as Stripe writes it
                    "discount_amounts": [{"amount": off, "discount": discount}]
                    if discount and not credited
                    else [],
                    "discountable": not credited,
                    "discounts": [],
                    "invoice": invoice_id,
                    "livemode": self._livemode,
                    "metadata": {},
                    "parent": _line_parent(subscription, line_id[3:], proration=credited),
                    "period": {"end": created + 30 * DAY, "start": created},
                    "pretax_credit_amounts": [],
                    "pricing": {
                        "price_details": self._prices[product],
                        "type": "price_details",
                        "unit_amount_decimal": unit_decimal,
                    },
                    "quantity": quantity,
                    "quantity_decimal": quantity_decimal,
                    "subscription": subscription,
                    "subtotal": amount,
                    "taxes": []
                    if behavior is None or credited
                    else [_tax(amount - off, behavior, basis_points, currency)],
                }
            )
        return lines


def shown(invoice: dict[str, Any], lines: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The invoice as the API shows it: ten lines embedded, unless the lines to embed are given."""
    kept = invoice["lines"]
    data = kept[:EMBEDDED_LINES] if lines is None else lines
    url = f"/v1/invoices/{invoice['id']}/lines"
    return {
        **invoice,
        "lines": {"object": "list", "data": data, "has_more": len(data) < len(kept), "url": url},
    }


def _line_count(draw: Draw) -> int:
    """Mostly one to four, now and then up to ten; 3 % have 11 to 250, often just over ten or a page."""
    if draw.chance(30):
        return draw.pick((11, 12, 20, 100, 101, 110, draw.between(11, 250)))
    return draw.between(1, 10) if draw.chance(150) else draw.between(1, 4)


def _amount(draw: Draw, currency: Currency) -> tuple[int, int | None, str | None, str]:
    """Amount, quantity, `quantity_decimal` and `unit_amount_decimal` of a line."""
    if draw.chance(80):
        # Metered: a unit costs a fraction of the smallest amount, as only `unit_amount_decimal` can say.
        thousandths, quantity = draw.between(1, 9999), draw.between(1, 400) * 1000
        return snap(thousandths * quantity // 1000, currency), quantity, None, decimal_text(thousandths, 3)
    unit = price(draw, currency)
    if draw.chance(40):
        halves = 2 * draw.between(1, 20) + 1
        return snap(unit * halves // 2, currency), None, f"{halves // 2}.5", str(unit)
    quantity = draw.pick((1, 1, 1, 2, 3, 5, 12))
    return unit * quantity, quantity, str(quantity) if draw.chance(400) else None, str(unit)


def _tax(taxable: int, behavior: str, basis_points: int, currency: Currency) -> dict[str, Any]:
    inside = basis_points if behavior == "inclusive" else 0
    return {
        "amount": snap(taxable * basis_points // (10_000 + inside), currency),
        "tax_behavior": behavior,
        "tax_rate_details": {"tax_rate": f"txr_sandbox{basis_points}{behavior}"},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable,
        "type": "tax_rate_details",
    }


def _shipping(draw: Draw, currency: Currency) -> dict[str, Any] | None:
    if not draw.chance(60):
        return None
    cost = price(draw, currency)
    return {"amount_subtotal": cost, "amount_tax": 0, "amount_total": cost, "shipping_rate": None}


def _line_parent(subscription: str | None, part: str, *, proration: bool) -> dict[str, Any]:
    common = {
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if subscription:
        details = {**common, "invoice_item": None, "subscription_item": f"si_{part}"}
        return {
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        }
    details = {**common, "invoice_item": f"ii_{part}"}
    return {
        "invoice_item_details": details,
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
