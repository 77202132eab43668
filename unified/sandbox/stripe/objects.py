"""Stripe's further objects, each a declaration: what one looks like, and which events tell of it.

Not here: customers and invoices, whose amounts and dates depend on each other (`unified.sandbox.stripe.invoices`).
Source: https://docs.stripe.com/api, object by object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unified.sandbox.collection import Collection
from unified.sandbox.draw import Draw, IdCodec, seed_of
from unified.sandbox.history import creation_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Record = dict[str, Any]

EMBEDDED = 10
"""Elements of a list that an object shows; the rest has to be listed."""

_LONG = 97
"""One of so many objects has a list that is longer than that."""


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Attributes:
        name: its list, such as `charges`.
        prefix: of its ids.
        make: a draw, the id of a customer and the object's own → its fields beside those that all kinds have.
        events: what the types of its events begin with; empty where there are none.
        nested: the field that holds a list of which only the first `EMBEDDED` are shown.
        is_deletable: whether one can be deleted.
    """

    name: str
    prefix: str
    make: Callable[[Draw, str, str], Record]
    events: str
    nested: str = ""
    is_deletable: bool = False

    @property
    def object(self) -> str:
        """The value of `object`."""
        return self.name.removesuffix("s")

    def shown(self, record: Record) -> Record:
        """An object as the API shows it."""
        if not self.nested:
            return record
        elements, url = record[self.nested], f"/v1/{self.name}/{record['id']}/lines"
        if self.nested == "items":
            url = f"/v1/subscription_items?subscription={record['id']}"
        more = len(elements) > EMBEDDED
        listed = {"object": "list", "data": elements[:EMBEDDED], "has_more": more, "url": url}
        return {**record, self.nested: listed}


def _amount(draw: Draw) -> Record:
    return {"amount": draw.between(50, 250_000), "currency": draw.pick(("usd", "eur", "jpy", "kwd"))}


def _subscription(draw: Draw, customer: str, own_id: str) -> Record:
    status = draw.pick(("active", "active", "active", "trialing", "past_due", "canceled"))
    starts = 1_700_000_000 + draw.below(10**7)
    count = 14 if draw.below(_LONG) == 0 else draw.between(1, 3)
    return {
        "application": None, "automatic_tax": {"enabled": False, "liability": None}, "billing_cycle_anchor": starts,
        "cancel_at": None, "cancel_at_period_end": False, "canceled_at": starts if status == "canceled" else None,
        "collection_method": "charge_automatically", "currency": "usd", "customer": customer,
        "default_payment_method": None, "description": draw.pick((None, "Team plan")), "discounts": [],
        "ended_at": None, "invoice_settings": {"issuer": {"type": "self"}}, "latest_invoice": None,
        "start_date": starts, "status": status, "trial_end": None,
        "items": [
            {
                "id": f"si_{own_id[4:]}{number:02d}", "object": "subscription_item", "created": starts,
                "current_period_end": starts + 2_592_000, "current_period_start": starts, "metadata": {},
                "quantity": draw.between(1, 9), "subscription": own_id, "tax_rates": [], "discounts": [],
                "price": _price(draw, customer, "") | {"id": f"price_{number}", "object": "price"},
            }
            for number in range(count)
        ],
    }  # fmt: skip


def _charge(draw: Draw, customer: str, own_id: str) -> Record:
    paid = draw.chance(930)
    return {
        **(money := _amount(draw)), "amount_captured": money["amount"] if paid else 0, "amount_refunded": 0,
        "balance_transaction": f"txn_{own_id[3:]}" if paid else None, "captured": paid, "customer": customer,
        "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        "description": draw.pick((None, "Order 17")), "disputed": False, "paid": paid, "payment_intent": None,
        "failure_code": None if paid else "card_declined", "refunded": False,
        "status": "succeeded" if paid else "failed",
    }  # fmt: skip


def _refund(draw: Draw, customer: str, own_id: str) -> Record:
    del customer
    return {
        **_amount(draw), "balance_transaction": None, "charge": f"ch_{own_id[3:]}", "payment_intent": None,
        "reason": draw.pick((None, "requested_by_customer", "duplicate")), "receipt_number": None,
        "status": draw.pick(("succeeded", "succeeded", "pending", "failed")),
    }  # fmt: skip


def _payment_intent(draw: Draw, customer: str, own_id: str) -> Record:
    status = draw.pick(("succeeded", "succeeded", "requires_payment_method", "canceled"))
    return {
        **(money := _amount(draw)), "amount_capturable": 0,
        "amount_received": money["amount"] if status == "succeeded" else 0, "canceled_at": None,
        "capture_method": "automatic", "client_secret": f"{own_id}_secret_fake{draw.below(10**9):09d}",
        "confirmation_method": "automatic", "customer": customer, "description": None, "latest_charge": None,
        "payment_method_types": ["card"], "receipt_email": None, "status": status,
    }  # fmt: skip


def _product(draw: Draw, customer: str, own_id: str) -> Record:
    del customer, own_id
    return {
        "active": draw.chance(900), "default_price": None, "description": None, "images": [],
        "marketing_features": [], "name": f"{draw.pick(('Pro', 'Team', 'Basic'))} plan {draw.below(100)}",
        "package_dimensions": None, "shippable": None, "tax_code": None, "type": "service",
        "unit_label": None, "updated": 1_700_000_000 + draw.below(10**7), "url": None,
    }  # fmt: skip


def _price(draw: Draw, customer: str, own_id: str) -> Record:
    del customer
    units = draw.between(100, 90_000)
    return {
        "active": True, "billing_scheme": "per_unit", "currency": "usd", "lookup_key": None,
        "nickname": draw.pick((None, "Yearly")), "product": f"prod_{own_id[6:]}",
        "recurring": {"interval": "month", "interval_count": 1, "meter": None, "usage_type": "licensed"},
        "tax_behavior": "unspecified", "tiers_mode": None, "transform_quantity": None, "type": "recurring",
        "unit_amount": units, "unit_amount_decimal": str(units),
    }  # fmt: skip


def _balance_transaction(draw: Draw, customer: str, own_id: str) -> Record:
    del customer
    money = _amount(draw)
    fee = money["amount"] // 40
    return {
        **money, "available_on": 1_700_000_000 + draw.below(10**7), "balance_type": "payments",
        "description": None, "exchange_rate": None, "fee": fee, "fee_details": [], "net": money["amount"] - fee,
        "reporting_category": "charge", "source": f"ch_{own_id[4:]}", "status": "available", "type": "charge",
    }  # fmt: skip


def _payout(draw: Draw, customer: str, own_id: str) -> Record:
    del customer, own_id
    return {
        **_amount(draw), "arrival_date": 1_700_000_000 + draw.below(10**7), "automatic": True,
        "balance_transaction": None, "description": "STRIPE PAYOUT", "destination": None, "failure_code": None,
        "method": "standard", "reconciliation_status": "completed", "source_type": "card",
        "statement_descriptor": None, "status": draw.pick(("paid", "paid", "in_transit")), "type": "bank_account",
    }  # fmt: skip


def _credit_note(draw: Draw, customer: str, own_id: str) -> Record:
    money = _amount(draw)
    count = 13 if draw.below(_LONG) == 0 else 1
    return {
        **money, "amount_shipping": 0, "customer": customer, "customer_balance_transaction": None,
        "discount_amount": 0, "discount_amounts": [], "effective_at": None, "invoice": f"in_{own_id[3:]}",
        "memo": None, "number": f"{own_id[3:11].upper()}-CN-01", "out_of_band_amount": None,
        "pdf": "https://pay.stripe.example/credit_notes/pdf", "reason": None, "refunds": [], "status": "issued",
        "subtotal": money["amount"], "subtotal_excluding_tax": money["amount"], "total": money["amount"],
        "total_excluding_tax": money["amount"], "total_taxes": [], "type": "pre_payment",
        "lines": [
            {
                "id": f"cnli_{own_id[3:]}{number:02d}", "object": "credit_note_line_item",
                "amount": money["amount"] // count, "description": "Returned", "discount_amount": 0,
                "discount_amounts": [], "quantity": 1, "tax_rates": [], "taxes": [], "type": "custom_line_item",
                "unit_amount": None, "unit_amount_decimal": None, "livemode": False,
            }
            for number in range(count)
        ],
    }  # fmt: skip


def _dispute(draw: Draw, customer: str, own_id: str) -> Record:
    del customer
    return {
        **_amount(draw), "balance_transactions": [], "charge": f"ch_{own_id[3:]}", "evidence": {},
        "evidence_details": {"due_by": None, "has_evidence": False, "past_due": False, "submission_count": 0},
        "is_charge_refundable": False, "payment_intent": None, "reason": draw.pick(("general", "fraudulent")),
        "status": draw.pick(("needs_response", "won", "lost")),
    }  # fmt: skip


KINDS = {
    kind.name: kind
    for kind in (
        Kind("subscriptions", "sub_", _subscription, "customer.subscription", nested="items"),
        Kind("charges", "ch_", _charge, "charge"),
        Kind("refunds", "re_", _refund, "refund"),
        Kind("payment_intents", "pi_", _payment_intent, "payment_intent"),
        Kind("products", "prod_", _product, "product", is_deletable=True),
        Kind("prices", "price_", _price, "price"),
        Kind("balance_transactions", "txn_", _balance_transaction, ""),
        Kind("payouts", "po_", _payout, "payout"),
        Kind("credit_notes", "cn_", _credit_note, "credit_note", nested="lines"),
        Kind("disputes", "du_", _dispute, "charge.dispute"),
    )
}
"""By the name of their list."""

# Those that do not say their mode, or have no metadata (https://docs.stripe.com/api/refunds/object and others).
_WITHOUT_MODE = ("refunds", "balance_transactions")
_WITHOUT_METADATA = ("balance_transactions",)


class Objects:
    """The objects of one kind in one account.

    Args:
        kind: which.
        seed: same seed, same objects.
        count: how many were made before.
        until: Unix seconds of the newest of them.
        customer: index → id of a customer.
        livemode: whether the account is live.
    """

    def __init__(
        self, kind: Kind, seed: int, count: int, until: int, customer: Callable[[int], str], *, livemode: bool
    ) -> None:
        self.kind = kind
        self._seed = seed_of(seed, kind.name)
        self._customer = customer
        self._livemode = livemode
        ids = IdCodec(kind.prefix, 24, self._seed)
        self._created = creation_times(count, until)
        self.collection = Collection(count, self._created, self.make, ids, render=kind.shown)

    def make(self, index: int, created: int | None = None) -> Record:
        """Object `index`; those that were not generated need `created`."""
        draw, own_id = Draw(self._seed, index), self.collection.ids.encode(index)
        customer = self._customer(draw.below(1_000))
        record = {
            "id": own_id,
            "object": self.kind.object,
            "created": self._created(index) if created is None else created,
            "livemode": self._livemode,
            "metadata": {"order": str(index)} if draw.chance(200) else {},
            **self.kind.make(draw, customer, own_id),
        }
        if self.kind.name in _WITHOUT_MODE:
            del record["livemode"]
        if self.kind.name in _WITHOUT_METADATA:
            del record["metadata"]
        return record

    def all(self) -> Iterator[Record]:
        """Every object with all that is nested in it, newest first."""
        for index in self.collection.live():
            record = self.collection.get(index)
            shown = self.kind.shown(record)
            if self.kind.nested:
                whole = {"data": record[self.kind.nested], "has_more": False}
                shown = {**shown, self.kind.nested: {**shown[self.kind.nested], **whole}}
            yield shown
