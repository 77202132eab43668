"""Ids and keys that no table or index can hold: each costs itself at most, and nothing beside it."""

from hashlib import sha256
from typing import Any

import pytest

from tests.unified.sync.deliveries import deliver, drained
from tests.unified.sync.stories.conftest import Told

# Of no two equal parts, which an index would store in less room.
LONG = "cus_" + "".join(sha256(bytes([number])).hexdigest() for number in range(60))
ODD = {"U+0000": "cus_\0", "too long": LONG}


@pytest.mark.parametrize("odd", ODD)
async def test_a_polled_record_with_an_odd_id_is_a_reject(told: Told, odd: str) -> None:
    told.systems.stripe.create(name="Before")
    told.systems.stripe.create(id=ODD[odd], name="Odd")
    told.systems.stripe.create(name="After")
    result = await told.billing.sync()
    assert (result.inserted, result.rejected) == (2, 1)
    told.systems.stripe.create(name="Later")
    assert (await told.billing.sync()).inserted == 1


def event(number: int, customer: Any, kind: str = "customer.updated", **fields: Any) -> dict[str, Any]:
    record = {"id": customer, "object": "customer", **fields}
    return {
        "id": f"evt_{number}", "object": "event", "type": kind, "created": 1_790_000_000, "livemode": False,
        "data": {"object": record},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["customer.updated", "customer.deleted"])
@pytest.mark.parametrize("odd", ODD)
async def test_an_event_about_an_odd_id_holds_up_no_other(told: Told, odd: str, kind: str) -> None:
    known = told.systems.stripe.create(name="Known")["id"]
    events = [event(1, ODD[odd], kind, deleted=kind.endswith("deleted")), event(2, known)]
    await deliver(told.billing, events)
    result = await drained(told.billing)
    assert result is not None
    assert (result.error, result.events) == (None, 2)
    assert await told.billing.query("SELECT source_id FROM {leaf}") == [(known,)]
    assert await drained(told.billing) is None


async def test_what_is_too_long_to_be_looked_up_by_is_kept_aside(told: Told) -> None:
    """An index takes no such value; the records that hold one are there all the same, and so are those beside them."""
    stripe = told.systems.stripe
    stripe.create(name=LONG, email="long@example.com")
    beside = stripe.create(name="Beside", email="beside@example.com")["id"]
    stripe.invoice(1, customer=LONG)
    stripe.invoice(1, customer=beside)
    customers, invoices = await told.billing.sync(), await told.billing.sync("invoices")
    for result in (customers, invoices):
        assert (result.inserted, result.rejected, result.unusable) == (2, 0, 1)
    names = "SELECT name, custom_fields ->> 'invalid_name' FROM {leaf} ORDER BY source_id"
    assert await told.billing.query(names) == [(None, LONG), ("Beside", None)]
    payers = (
        "SELECT customer_id, custom_fields ->> 'invalid_customer_id', total FROM {leaf} ORDER BY source_id"
    )
    assert await told.billing.query(payers, "invoices") == [(None, LONG, 1), (beside, None, 1)]
