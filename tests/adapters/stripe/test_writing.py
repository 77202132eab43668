"""Customers written to Stripe's stand-in, and looked up there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.stripe.writing import form
from tests.adapters.writes import changed_fields, write
from unified.kit.errors import AuthenticationError, ConfigurationError, UndecidedError
from unified.kit.writing.changes import Write
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.stripe.adapter import StripeAdapter
    from tests.adapters.stripe.conftest import Stripe

KEY, NOW = "sk_test_fake_acme", 1_790_000_000
THEN = datetime.fromtimestamp(NOW, UTC)

TROUBLE: list[tuple[str, dict[str, Any]]] = [
    ("cut", {}),
    ("status", {"status": 502}),
    ("status", {"status": 429}),
    ("html", {"status": 200}),
    ("malformed", {}),
]


@pytest.fixture
def account(stripe_of: Callable[..., Stripe]) -> Stripe:
    return stripe_of(customers=25, invoices=0)


def customer_of(adapter: StripeAdapter, **fields: Any) -> UnifiedCustomer:
    return UnifiedCustomer(**adapter.origin("customers", THEN, THEN).identify("x"), **fields)


def creation(number: int, **body: Any) -> Write:
    return Write("create", None, {"name": f"Customer {number}", **body}, f"acme/crm/{number}/v1")


def names(account: Stripe) -> Counter[str | None]:
    return Counter(customer["name"] for customer in account.data.all_customers())


async def test_a_customer_is_created_changed_and_deleted(account: Stripe) -> None:
    async with account.adapter() as adapter:
        wanted = customer_of(
            adapter,
            name="Ada Lovelace",
            email="ada@example.com",
            kind=CustomerKind.PERSON,
            company="Engines & Co = 1",
            phone="+44 20 7946 0000",
            billing_address=UnifiedAddress(line1="1 St James's", city="London", country="GB"),
            shipping_address=UnifiedAddress(line1="Dock 4", name="Ada", phone="+44 1"),
            custom_fields={"crm_id": "ü & 7", "plan": "pro"},
        )
        [made] = [
            one
            async for one in adapter.write(
                "customers", [Write("create", None, adapter.from_unified("customers", wanted), "k1")]
            )
        ]
        assert (made.outcome, made.source_id) == ("applied", made.raw.source_id if made.raw else "")
        assert made.raw is not None
        origin = adapter.origin("customers", THEN, THEN)
        held = adapter.map_record("customers", made.raw.body, origin)
        assert changed_fields(adapter, held, wanted) == ()
        assert account.oracle("customers")[made.source_id or ""] == msgspec.json.decode(made.raw.body)

        desired = wanted.model_copy(
            update={
                "phone": None,
                "billing_address": UnifiedAddress(city="Paris"),
                "custom_fields": {"plan": "free"},
            }
        )
        fields = changed_fields(adapter, held, desired)
        assert fields == ("billing_address", "custom_fields.plan", "phone")
        body = adapter.from_unified("customers", desired, [*fields, "custom_fields.crm_id"])
        [changed] = [
            one async for one in adapter.write("customers", [Write("update", made.source_id, body, "k2")])
        ]
        now = account.oracle("customers")[made.source_id or ""]
        assert changed.outcome == "applied"
        assert (now["phone"], now["name"], now["metadata"]) == (None, "Ada Lovelace", {"plan": "free"})
        assert {part: value for part, value in now["address"].items() if value} == {"city": "Paris"}

        [gone] = [
            one async for one in adapter.write("customers", [Write("delete", made.source_id, {}, "k3")])
        ]
        assert (gone.outcome, gone.source_id, gone.raw) == ("applied", made.source_id, None)
        assert made.source_id not in account.oracle("customers")
    kinds = [
        event["type"]
        for event in account.data.all_events()
        if event["data"]["object"]["id"] == made.source_id
    ]
    assert kinds == ["customer.deleted", "customer.updated", "customer.created"]


async def test_what_one_customer_is_refused_for_keeps_no_other_from_being_written(account: Stripe) -> None:
    writes = [creation(number) for number in range(20)]
    writes[7] = creation(7, email="not an address")
    writes[9] = creation(9, phone="1" * 21)
    written, error = await write(account, *writes)
    assert error is None
    assert Counter(one.outcome for one in written.values()) == {"applied": 18, "refused": 2}
    assert "Invalid email address" in (written["acme/crm/7/v1"].reason or "")
    assert "at most 20 characters" in (written["acme/crm/9/v1"].reason or "")
    assert KEY not in repr(written)


async def test_a_customer_that_was_deleted_meanwhile_is_missing(account: Stripe) -> None:
    gone = next(iter(account.oracle("customers")))
    account.change("delete_customer", gone)
    written, error = await write(
        account,
        Write("update", gone, {"name": "late"}, "k1"),
        Write("delete", gone, {}, "k2"),
        Write("update", "cus_never", {"name": "late"}, "k3"),
    )
    assert error is None
    assert {key: one.outcome for key, one in written.items()} == dict.fromkeys(("k1", "k2", "k3"), "missing")


async def test_a_cut_connection_creates_nobody_twice(account: Stripe) -> None:
    account.fault("cut", "/v1/customers", times=3)
    account.fault("status", "/v1/customers", status=409, code="lock_timeout", times=2)
    written, error = await write(account, *(creation(number) for number in range(10)))
    assert error is None
    assert {one.outcome for one in written.values()} == {"applied"}
    made = names(account)
    assert all(made[f"Customer {number}"] == 1 for number in range(10))


async def test_what_became_of_a_write_without_any_answer_is_open_until_it_is_sent_again(
    account: Stripe,
) -> None:
    account.fault("cut", "/v1/customers", times=None)
    write_once = creation(1)
    written, error = await write(account, write_once, retry_count=1)
    assert isinstance(error, UndecidedError)
    assert written["acme/crm/1/v1"].outcome == "unknown"
    assert names(account)["Customer 1"] == 1

    account.sandbox.faults.clear()
    again = Write("create", None, write_once.body, write_once.idempotency_key, sent_at=THEN)
    written, error = await write(account, again)
    assert (written["acme/crm/1/v1"].outcome, error) == ("applied", None)
    assert names(account)["Customer 1"] == 1


async def test_whatever_the_network_does_each_customer_is_created_once(account: Stripe) -> None:
    for kind, how in TROUBLE:
        account.fault(kind, "/v1/customers", times=15, probability=0.2, **how)
    waiting = {one.idempotency_key: one for one in map(creation, range(60))}
    runs = 0
    while waiting:
        written, _ = await write(account, *waiting.values(), retry_count=0)
        for key, one in written.items():
            if one.outcome == "unknown":
                waiting[key] = replace(waiting[key], sent_at=THEN)
            else:
                assert one.outcome == "applied"
                del waiting[key]
        runs += 1
    made = names(account)
    assert all(made[f"Customer {number}"] == 1 for number in range(60))
    assert runs > 1


async def test_a_creation_that_was_sent_a_day_ago_is_not_sent_again(account: Stripe) -> None:
    account.requests()
    old = Write("create", None, {"name": "Old"}, "k1", sent_at=THEN - timedelta(hours=24))
    written, error = await write(account, old)
    assert (written["k1"].outcome, error) == ("unknown", None)
    assert "idempotency key" in (written["k1"].reason or "")
    assert account.requests() == {}


async def test_an_answer_that_names_nobody_leaves_it_open(account: Stripe) -> None:
    account.fault("bad_record", "/v1/customers", drop="id")
    written, error = await write(account, creation(1))
    assert (written["acme/crm/1/v1"].outcome, error) == ("unknown", None)


async def test_a_key_is_good_for_one_change_only(account: Stripe) -> None:
    await write(account, creation(1))
    written, _ = await write(account, creation(1, email="other@example.com"))
    assert written["acme/crm/1/v1"].outcome == "refused"
    assert "same parameters" in (written["acme/crm/1/v1"].reason or "")


async def test_a_rate_limit_in_the_middle_only_slows_down(account: Stripe) -> None:
    account.fault("status", "/v1/customers", status=429, skip=5, times=4)
    written, error = await write(account, *(creation(number) for number in range(30)))
    assert error is None
    assert Counter(one.outcome for one in written.values()) == {"applied": 30}


async def test_what_was_not_reported_when_a_key_is_revoked_was_not_written(account: Stripe) -> None:
    account.fault("revoked", "/v1/customers", skip=12, times=None)
    written, error = await write(account, *(creation(number) for number in range(60)))
    assert isinstance(error, AuthenticationError)
    assert {one.outcome for one in written.values()} == {"applied"}
    made = {name for name in names(account) if name and name.startswith("Customer ")}
    assert made == {str(one.write.body["name"]) for one in written.values()}
    assert len(made) == 12


async def test_customers_are_found_as_they_are_now(account: Stripe) -> None:
    bodies: list[dict[str, Any]] = [
        {"email": "Ada@example.com", "phone": "+1"},
        {"email": "ada@example.com", "metadata": {"crm id": 'a "b" \\ c'}},
        {"email": "bob@example.com", "phone": "+2"},
        {"email": "Grace.HOPPER@Example.com"},
    ]
    written, _ = await write(account, *(creation(number, **body) for number, body in enumerate(bodies)))
    ids = [written[f"acme/crm/{number}/v1"].source_id for number in range(len(bodies))]

    async def find(field: str, *values: str) -> list[str | None]:
        async with account.adapter() as adapter:
            return [
                record.source_id
                async for page in adapter.find("customers", field, values)
                for record in page.records
            ]

    assert sorted(map(str, await find("email", "Ada@example.com"))) == sorted(map(str, ids[:2]))
    assert sorted(map(str, await find("email", "ada@example.com", ""))) == sorted(map(str, ids[:2]))
    for spelling in ("grace.hopper@example.com", "Grace.HOPPER@Example.com", "GRACE.HOPPER@EXAMPLE.COM"):
        assert await find("email", spelling) == [ids[3]]
    many_addresses = [f"n{number}@example.com" for number in range(25)]
    assert await find("email", *many_addresses, "grace.hopper@example.com", "bob@example.com") == [
        ids[2],
        ids[3],
    ]
    assert await find("email", "nobody@example.com") == []
    assert await find("custom_fields.crm id", 'a "b" \\ c') == [ids[1]]
    many = [f"+{number}" for number in range(2, 40)]
    assert await find("phone", *many) == [ids[2]]
    with pytest.raises(ConfigurationError, match="by name"):
        await find("name", "Customer 1")


async def test_only_customers_are_written(account: Stripe) -> None:
    async with account.adapter() as adapter:
        with pytest.raises(ConfigurationError, match="does not write invoices"):
            adapter.write("invoices", [])
        with pytest.raises(ConfigurationError, match="finds no events"):
            adapter.find("events", "email", [])


def test_a_form_names_parts_in_brackets_and_empties_with_an_empty_text() -> None:
    body = {
        "name": "Ada",
        "address": {"line1": "1 & 2", "line2": None},
        "metadata": {"a b": "c"},
        "phone": None,
    }
    assert dict(form(body)) == {
        "name": "Ada",
        "address[line1]": "1 & 2",
        "address[line2]": "",
        "metadata[a b]": "c",
        "phone": "",
    }
