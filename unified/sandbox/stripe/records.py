"""Stripe's customers, as pure functions of (seed, index).

Not here: invoices (`unified.sandbox.stripe.invoices`), changes made later (`unified.sandbox.stripe.account`).
"""

from __future__ import annotations

from typing import Any

from unified.sandbox.data import CURRENCIES, Person, person
from unified.sandbox.draw import Draw, IdCodec, seed_of
from unified.sandbox.history import creation_times


class Customers:
    """Customers as Stripe shows them (https://docs.stripe.com/api/customers/object)."""

    def __init__(self, seed: int, count: int, until: int, *, livemode: bool) -> None:
        self.count = count
        self.created = creation_times(count, until)
        self.ids = IdCodec("cus_", 14, seed)
        self._seed = seed_of(seed, "customer")
        self._livemode = livemode

    def person(self, index: int) -> Person:
        """Who customer `index` is."""
        return person(Draw(self._seed, index))

    def is_deleted(self, index: int) -> bool:
        """About 1 % were deleted before the sandbox started; their invoices remain."""
        return Draw(self._seed ^ 1, index).chance(10)

    def customer(self, index: int, created: int | None = None) -> dict[str, Any]:
        """Customer `index`; those beyond `count` need `created`."""
        who = self.person(index)
        draw = Draw(self._seed ^ 2, index)
        address = stripe_address(who) if draw.chance(800) else None
        return {
            "id": self.ids.encode(index),
            "object": "customer",
            "address": address,
            "balance": draw.pick((0, 0, 0, 0, -500, 1250)),
            "created": self.created(index) if created is None else created,
            "currency": None if draw.chance(100) else draw.pick(CURRENCIES).code,
            "customer_account": None,
            "default_source": None,
            "delinquent": draw.chance(50),
            "description": f'Account "{who.company}" \\ tier {draw.below(5)}\nvia {who.first}'
            if draw.chance(300)
            else None,
            "discount": None,
            "email": who.email,
            "invoice_prefix": f"{draw.below(16**8):08X}",
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": self._livemode,
            "metadata": {"crm_id": str(100_000 + index), "plan": draw.pick(("free", "pro", "enterprise"))}
            if draw.chance(600)
            else {},
            "name": None
            if draw.chance(80)
            else who.company
            if draw.chance(400)
            else f"{who.first} {who.last}",
            "next_invoice_sequence": draw.between(1, 60),
            "phone": who.phone,
            "preferred_locales": [who.city.locale],
            "shipping": {
                "address": stripe_address(who),
                "name": f"{who.first} {who.last}",
                "phone": who.phone,
            }
            if draw.chance(300)
            else None,
            "tax_exempt": draw.pick(("none", "none", "none", "none", "none", "exempt", "reverse")),
            "test_clock": None,
        }


def stripe_address(who: Person) -> dict[str, Any]:
    """A Stripe address of six nullable strings."""
    return {
        "city": who.city.name,
        "country": who.city.country,
        "line1": who.street,
        "line2": None,
        "postal_code": who.postal_code,
        "state": who.city.state,
    }
