"""Stripe's objects as unified records: every trap of their fields, and Stripe's own published examples."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import strategies as st

from adapters.stripe.adapter import StripeAdapter, StripeConfig
from adapters.stripe.mapping import WRITABLE_FIELDS, from_customer, to_customer, to_event, to_invoice
from tests.adapters.writes import changed_fields
from tests.properties import given
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.secrets import Secret
from unified.kit.streams import Origin
from unified.schema import (
    CustomerKind,
    InvoiceStatus,
    UnifiedAddress,
    UnifiedCustomer,
    UnifiedEvent,
    UnifiedInvoice,
)

DATA = Path(__file__).parents[4] / "shared" / "data"
NOW = datetime(2026, 11, 20, tzinfo=UTC)
ORIGIN = Origin("stripe", UUID(int=7), NOW, NOW)
CREATED = 1_790_000_000

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the published fixtures (../shared/data) are not here"
)


def customer(**fields: Any) -> UnifiedCustomer:
    return to_customer({"id": "cus_1", "object": "customer", "created": CREATED, **fields}, ORIGIN)


def invoice(**fields: Any) -> UnifiedInvoice:
    raw = {
        "id": "in_1",
        "object": "invoice",
        "currency": "usd",
        "total": 1050,
        "lines": {"data": []},
        **fields,
    }
    return to_invoice(raw, ORIGIN)


def line(currency: str = "usd", **fields: Any) -> Any:
    return invoice(currency=currency, lines={"data": [{"id": "il_1", "amount": 100, **fields}]}).line_items[0]


# Customers ----------------------------------------------------------------------------------------


def test_a_customer_with_everything() -> None:
    address = {
        "line1": "1 Main",
        "line2": "",
        "city": "Köln",
        "state": None,
        "postal_code": "50667",
        "country": "DE",
    }
    mapped = customer(
        email="Ada@Example.COM",
        name="Ada",
        phone="+49 221 1",
        description="VIP",
        currency="eur",
        livemode=True,
        address=address,
        shipping={"name": "Ada's dock", "phone": "+49 221 2", "address": address},
        metadata={"crm_id": "7"},
        customer_account="acct_1",
        tax_ids={"data": [{"type": "eu_vat", "value": "DE123"}]},
    )
    assert (mapped.email, mapped.emails) == ("Ada@example.com", ("Ada@example.com",))
    assert (mapped.phone, mapped.phones) == ("+49 221 1", ("+49 221 1",))
    assert (mapped.currency, mapped.livemode, mapped.tax_number) == ("EUR", True, "DE123")
    assert mapped.created_at == datetime.fromtimestamp(CREATED, UTC)
    assert mapped.billing_address == UnifiedAddress(
        line1="1 Main", city="Köln", postal_code="50667", country="DE"
    )
    assert mapped.shipping_address is not None
    assert (mapped.shipping_address.name, mapped.shipping_address.city) == ("Ada's dock", "Köln")
    assert mapped.custom_fields == {"crm_id": "7", "customer_account": "acct_1", "tax_number_type": "eu_vat"}
    assert mapped.is_active
    assert mapped.raw_data["metadata"] == {"crm_id": "7"}


@pytest.mark.parametrize(
    "missing", [{}, {"email": None, "name": None, "metadata": None}, {"email": "", "name": ""}]
)
def test_only_the_id_of_a_customer_is_certain(missing: dict[str, Any]) -> None:
    mapped = customer(**missing)
    assert (mapped.email, mapped.emails, mapped.name, mapped.kind, mapped.billing_address) == (
        None,
        (),
        None,
        None,
        None,
    )


def test_an_address_of_nulls_is_no_address() -> None:
    empty = dict.fromkeys(("line1", "line2", "city", "state", "postal_code", "country"))
    mapped = customer(address=empty, shipping={"address": empty, "name": None, "phone": None})
    assert (mapped.billing_address, mapped.shipping_address) == (None, None)
    assert customer(shipping={}).shipping_address is None


@pytest.mark.parametrize(
    "unusable", ["none", "a@@example.com", "a b@example.com", "@", "x" * 600 + "@example.com"]
)
def test_an_email_that_is_none_does_not_lose_the_customer(unusable: str) -> None:
    mapped = customer(email=unusable, metadata={"a": "b"})
    assert (mapped.email, mapped.emails) == (None, ())
    assert mapped.custom_fields == {"a": "b", "invalid_email": unusable}


@pytest.mark.parametrize(
    ("fields", "kind", "name", "company"),
    [
        ({"name": "Ada"}, None, "Ada", None),
        ({"individual_name": "Ada"}, CustomerKind.PERSON, "Ada", None),
        ({"business_name": "Ada Ltd"}, CustomerKind.COMPANY, "Ada Ltd", "Ada Ltd"),
        ({"individual_name": "Ada", "business_name": "Ada Ltd"}, CustomerKind.PERSON, "Ada", "Ada Ltd"),
    ],
)
def test_kind_is_known_only_where_a_name_of_its_own_tells(
    fields: dict[str, Any], kind: Any, name: str, company: str | None
) -> None:
    mapped = customer(**fields)
    assert (mapped.kind, mapped.name, mapped.company) == (kind, name, company)


def test_a_deleted_customer() -> None:
    mapped = to_customer({"id": "cus_1", "object": "customer", "deleted": True}, ORIGIN)
    assert (mapped.is_active, mapped.deleted_at) == (False, NOW)


# Customers, written -------------------------------------------------------------------------------

ADAPTER = StripeAdapter(StripeConfig(), {}, ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe"))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
ADDRESSES = st.builds(
    UnifiedAddress,
    **dict.fromkeys(("line1", "line2", "city", "state", "postal_code", "country"), st.none() | TEXT),
)
CUSTOMERS = st.builds(
    customer_of := lambda **fields: UnifiedCustomer(**ORIGIN.identify("cus_1"), **fields),
    email=st.none() | st.sampled_from(["ada@example.com", "ünï@exämple.com"]),
    name=st.none() | TEXT,
    phone=st.none() | TEXT,
    company=st.none() | TEXT,
    description=st.none() | TEXT,
    billing_address=st.none() | ADDRESSES,
    shipping_address=st.none() | ADDRESSES,
    kind=st.none() | st.sampled_from(CustomerKind),
    custom_fields=st.dictionaries(st.text("abc_", min_size=1, max_size=40), TEXT, max_size=5),
)


def sent(body: dict[str, Any], before: dict[str, Any] | None = None) -> UnifiedCustomer:
    """The customer that Stripe holds after a write; ``before`` is the object that is updated."""
    raw = {"metadata": {}, **(before or {"id": "cus_1"})}
    given = msgspec.json.decode(msgspec.json.encode(body))
    metadata = {**raw["metadata"], **given.pop("metadata", {})}
    kept = {key: value for key, value in metadata.items() if value}
    return to_customer({**raw, **given, "metadata": kept}, ORIGIN)


@given(CUSTOMERS)
def test_what_stripe_can_hold_survives_the_way_there_and_back(before: UnifiedCustomer) -> None:
    after = sent(from_customer(before))
    is_company = before.kind is CustomerKind.COMPANY
    assert after.company == (before.company or (before.name if is_company else None))
    assert after.name == (before.name or after.company)
    assert (after.email, after.phone, after.description) == (before.email, before.phone, before.description)
    assert after.custom_fields == before.custom_fields
    # Stripe takes no shipping address without a name, and none that is nothing but a name.
    shipping = before.shipping_address if after.name else None
    for kept, wanted in ((after.billing_address, before.billing_address), (after.shipping_address, shipping)):
        parts = {"line1", "line2", "city", "state", "postal_code", "country"}
        empty = UnifiedAddress()
        assert (kept or empty).model_dump(include=parts) == (wanted or empty).model_dump(include=parts)
    if before.kind is CustomerKind.PERSON and before.name:
        assert after.kind is CustomerKind.PERSON


@given(CUSTOMERS)
def test_what_was_written_needs_no_second_write(record: UnifiedCustomer) -> None:
    assert changed_fields(ADAPTER, sent(from_customer(record)), record) == ()


@given(CUSTOMERS, CUSTOMERS)
def test_an_update_of_the_changed_fields_makes_the_one_look_like_the_other(
    current: UnifiedCustomer, desired: UnifiedCustomer
) -> None:
    current = sent(from_customer(current))
    desired = desired.model_copy(update={"custom_fields": {**current.custom_fields, **desired.custom_fields}})
    fields = changed_fields(ADAPTER, current, desired)
    after = sent(ADAPTER.from_unified("customers", desired, fields), current.raw_data)
    assert changed_fields(ADAPTER, after, desired) == ()


def test_a_field_that_is_emptied_is_named() -> None:
    record = customer_of(name="Ada", custom_fields={"a": "1"})
    fields = ("phone", "billing_address", "shipping_address", "kind", "custom_fields.b", "custom_fields.a")
    assert from_customer(record, fields) == {
        "phone": None,
        "address": None,
        "shipping": None,
        "business_name": None,
        "individual_name": None,
        "metadata": {"b": None, "a": "1"},
    }
    assert from_customer(record, ("custom_fields",)) == {"metadata": {"a": "1"}}
    with pytest.raises(ConfigurationError, match="tax_number is not written"):
        from_customer(record, ("tax_number",))


def test_every_writable_field_is_one_that_is_written() -> None:
    for field in WRITABLE_FIELDS:
        from_customer(customer_of(), (field,))


def test_what_is_unknown_is_not_written() -> None:
    assert from_customer(customer_of()) == {}
    assert from_customer(customer_of(name="Ada")) == {"name": "Ada"}


def test_metadata_keeps_within_stripes_limits() -> None:
    fields = {
        "fits": "x" * 500,
        "too long": "x" * 501,
        "k" * 41: "key",
        "a[b]": "brackets",
        "number": 5,
        "empty": "",
        "invalid_email": "none",
        **{f"n{number}": "x" for number in range(60)},
    }
    metadata = from_customer(customer_of(custom_fields=fields))["metadata"]
    assert len(metadata) == 50
    assert metadata["fits"] == "x" * 500
    assert not metadata.keys() & {"too long", "k" * 41, "a[b]", "number", "empty", "invalid_email"}


def test_only_customers_are_written() -> None:
    assert ADAPTER.from_unified("customers", customer_of(name="Ada")) == {"name": "Ada"}
    with pytest.raises(ConfigurationError, match="stripe does not write UnifiedInvoice"):
        ADAPTER.from_unified("customers", invoice())


# Invoices -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["draft", "open", "paid", "uncollectible", "void"])
def test_every_status(status: Any) -> None:
    mapped = invoice(status=status)
    assert (mapped.status, mapped.remote_status) == (InvoiceStatus(status), status)


@pytest.mark.parametrize("status", [None, "a_new_one"])
def test_a_status_that_is_missing_or_new_is_null_and_kept_in_its_own_word(status: Any) -> None:
    mapped = invoice(status=status)
    assert (mapped.status, mapped.remote_status) == (None, status)


def test_no_amount_is_computed() -> None:
    mapped = invoice(subtotal=1, total=999, amount_due=5, amount_paid=7, amount_remaining=11)
    stated = (mapped.subtotal, mapped.total, mapped.amount_due, mapped.amount_paid, mapped.amount_remaining)
    assert stated == tuple(map(Decimal, ("0.01", "9.99", "0.05", "0.07", "0.11")))


@pytest.mark.parametrize(
    ("fields", "tax"),
    [
        ({"total_taxes": [{"amount": 100}, {"amount": 23}]}, "1.23"),
        ({"total_taxes": []}, "0"),
        ({"total_taxes": None, "total_tax_amounts": [{"amount": 50}]}, "0.50"),
        ({"total_tax_amounts": [{"amount": 50}], "tax": 99}, "0.50"),
        ({"tax": 99}, "0.99"),
        ({}, None),
    ],
)
def test_tax_where_each_api_version_has_it(fields: dict[str, Any], tax: str | None) -> None:
    assert invoice(**fields).tax == (None if tax is None else Decimal(tax))


def test_discounts_are_added_up() -> None:
    assert invoice(total_discount_amounts=[{"amount": 100}, {"amount": 23}]).discount == Decimal("1.23")
    assert invoice(total_discount_amounts=None).discount is None


@pytest.mark.parametrize(
    ("reference", "customer_id"),
    [
        ("cus_1", "cus_1"),
        ({"id": "cus_1", "object": "customer"}, "cus_1"),
        ({"id": "cus_1", "deleted": True}, "cus_1"),
        (None, None),
    ],
)
def test_the_customer_of_an_invoice_is_an_id_an_object_or_missing(
    reference: Any, customer_id: str | None
) -> None:
    assert invoice(customer=reference).customer_id == customer_id


def test_an_account_in_place_of_a_customer_is_kept() -> None:
    mapped = invoice(customer=None, customer_account="acct_1", metadata={"order": "5"})
    assert mapped.custom_fields == {"order": "5", "customer_account": "acct_1"}


@pytest.mark.parametrize(
    ("fields", "subscription"),
    [
        (
            {"parent": {"subscription_details": {"subscription": "sub_new"}}, "subscription": "sub_old"},
            "sub_new",
        ),
        ({"parent": {"subscription_details": {"subscription": {"id": "sub_new"}}}}, "sub_new"),
        (
            {"parent": {"subscription_details": None, "quote_details": {}}, "subscription": "sub_old"},
            "sub_old",
        ),
        ({"parent": None, "subscription": None}, None),
        ({}, None),
    ],
)
def test_the_subscription_where_each_api_version_has_it(
    fields: dict[str, Any], subscription: str | None
) -> None:
    assert invoice(**fields).custom_fields.get("subscription") == subscription


def test_dates() -> None:
    mapped = invoice(
        created=CREATED,
        due_date=CREATED + 3,
        effective_at=CREATED + 1,
        status_transitions={"finalized_at": CREATED + 2, "paid_at": CREATED + 4},
    )
    dates = (mapped.created_at, mapped.issue_date, mapped.due_date, mapped.paid_date)
    assert [int(date.timestamp()) - CREATED for date in dates if date] == [0, 1, 3, 4]
    draft = invoice(created=CREATED, status_transitions={"finalized_at": None, "paid_at": None})
    assert (draft.issue_date, draft.due_date, draft.paid_date) == (None, None, None)
    assert int(invoice(status_transitions={"finalized_at": 5}).issue_date.timestamp()) == 5


def test_a_line_as_it_is_today() -> None:
    mapped = line(
        description="Pro",
        amount=-1050,
        quantity=2,
        quantity_decimal="2.5",
        taxes=[{"amount": 10}, {"amount": 5}],
        discount_amounts=[{"amount": 7}],
        period={"start": CREATED, "end": CREATED + 60},
        pricing={"unit_amount_decimal": "0.25", "price_details": {"price": "price_1", "product": "prod_1"}},
    )
    assert (mapped.source_id, mapped.description, mapped.item_id) == ("il_1", "Pro", "prod_1")
    assert (mapped.quantity, mapped.unit_price) == (Decimal("2.5"), Decimal("0.0025"))
    assert (mapped.amount, mapped.tax, mapped.discount) == (
        Decimal("-10.50"),
        Decimal("0.15"),
        Decimal("0.07"),
    )
    assert mapped.period_end.timestamp() - mapped.period_start.timestamp() == 60


def test_a_line_as_it_was_before_2025() -> None:
    price = {"id": "price_1", "product": {"id": "prod_1"}, "unit_amount": 500, "unit_amount_decimal": "500"}
    mapped = line(quantity=3, price=price, tax_amounts=[{"amount": 10}], plan=None)
    assert (mapped.quantity, mapped.unit_price, mapped.tax, mapped.item_id) == (
        3,
        Decimal("5.00"),
        Decimal("0.10"),
        "prod_1",
    )
    assert line(price={**price, "unit_amount_decimal": None}).unit_price == Decimal("5.00")
    assert line(price={"id": "price_1"}).item_id == "price_1"


def test_a_line_of_nulls() -> None:
    mapped = line(quantity=None, pricing=None, period=None, taxes=None, discount_amounts=None)
    assert (mapped.quantity, mapped.unit_price, mapped.tax, mapped.discount, mapped.item_id) == (None,) * 5


@pytest.mark.parametrize("broken", [{"total": "12.50"}, {"total": 12.5}, {"currency": None}, {"lines": None}])
def test_an_invoice_that_says_nonsense_is_a_mapping_error(broken: dict[str, Any]) -> None:
    adapter = StripeAdapter(StripeConfig(), {}, ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe"))
    raw = {"id": "in_1", "currency": "usd", "total": 1, "lines": {"data": []}, **broken}
    with pytest.raises(MappingError):
        adapter.map_record("invoices", json.dumps(raw).encode(), ORIGIN)


# Events -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "field", "written"),
    [
        ({"due_date": "20261-12-24"}, "due_date", "20261-12-24"),
        ({"due_date": 10**18}, "due_date", 10**18),
        ({"created": "yesterday"}, "created_at", "yesterday"),
        ({"status_transitions": {"paid_at": []}}, "paid_date", []),
        ({"effective_at": {"on": 1}}, "issue_date", {"on": 1}),
        ({"currency": "usdcoin"}, "currency", "USDCOIN"),
        ({"number": 7}, "invoice_number", 7),
        ({"description": ["a"]}, "memo", ["a"]),
        ({"livemode": "perhaps"}, "livemode", "perhaps"),
    ],
)
def test_an_odd_field_does_not_cost_an_invoice_its_amounts(
    broken: dict[str, Any], field: str, written: Any
) -> None:
    mapped = invoice(**broken)
    assert (mapped.total, getattr(mapped, field)) == (Decimal("10.50"), None)
    assert mapped.custom_fields == {f"invalid_{field}": written}


def test_odd_quantities_and_periods_do_not_cost_a_line_its_amount() -> None:
    odd = [{"id": "il_1", "amount": 100, "quantity": "two", "period": {"start": "soon"}}, None]
    mapped = invoice(lines={"data": odd})
    assert [one.amount for one in mapped.line_items] == [Decimal("1.00")]
    assert mapped.custom_fields == {
        "invalid_line_items": {"il_1": {"quantity": "two", "period_start": "soon"}, "1": None}
    }


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"created": "soon"}, "created_at"),
        ({"address": "Main Street"}, "billing_address"),
        ({"shipping": {"address": {"city": 7}}}, "shipping_address"),
        ({"currency": "euro"}, "currency"),
        ({"metadata": 7}, None),
        ({"tax_ids": {"data": [7]}}, "tax_number"),
        ({"email": ["a@b.example"]}, "email"),
    ],
)
def test_an_odd_field_does_not_cost_a_customer(broken: dict[str, Any], field: str | None) -> None:
    mapped = customer(name="Ada", **broken)
    assert mapped.name == "Ada"
    assert field is None or getattr(mapped, field) is None
    assert [key.startswith("invalid_") for key in mapped.custom_fields] == [True]


@pytest.mark.parametrize(
    "broken", [{"total": 10**28 + 1}, {"total": "1050"}, {"tax": 1.5}, {"amount_due": []}, {"currency": None}]
)
def test_amounts_that_can_not_be_read_are_refused(broken: dict[str, Any]) -> None:
    raw = {"id": "in_1", "currency": "usd", "total": 1050, "lines": {"data": []}, **broken}
    with pytest.raises(MappingError):
        ADAPTER.map_record("invoices", json.dumps(raw).encode(), ORIGIN)


def event(
    subject: dict[str, Any], kind: str = "customer.subscription.updated", **fields: Any
) -> UnifiedEvent:
    return to_event(
        {"id": "evt_1", "created": CREATED, "type": kind, "data": {"object": subject}, **fields}, ORIGIN
    )


def test_an_event() -> None:
    mapped = event(
        {"id": "sub_1", "object": "subscription"}, api_version="2024-06-20", livemode=False, account="acct_9"
    )
    assert (mapped.event_type, mapped.event_category) == ("customer.subscription.updated", "customer")
    assert (mapped.resource_type, mapped.resource_id) == ("subscription", "sub_1")
    assert (mapped.api_version, mapped.livemode, mapped.custom_fields) == (
        "2024-06-20",
        False,
        {"account": "acct_9"},
    )
    assert mapped.occurred_at == mapped.created_at == datetime.fromtimestamp(CREATED, UTC)
    assert mapped.payload == {"id": "sub_1", "object": "subscription"}
    assert mapped.user_id is None


def test_a_preview_has_no_resource_id() -> None:
    mapped = event({"object": "invoice", "total": 5}, "invoice.upcoming")
    assert (mapped.resource_type, mapped.resource_id, mapped.source_id) == ("invoice", None, "evt_1")


# Published examples -------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize("version", ["fixtures3.json", "fixtures3.2024-06-20.json"])
def test_stripes_own_examples_can_be_mapped(version: str) -> None:
    resources = json.loads((DATA / "stripe" / version).read_text())["resources"]
    mapped_invoice = to_invoice(resources["invoice"], ORIGIN)
    assert (mapped_invoice.total, mapped_invoice.currency) == (Decimal("10.00"), "USD")
    assert mapped_invoice.status is InvoiceStatus.DRAFT
    assert mapped_invoice.customer_id == resources["invoice"]["customer"]
    assert [item.amount for item in mapped_invoice.line_items] == [Decimal("10.00")]
    mapped_customer = to_customer(resources["customer"], ORIGIN)
    assert (mapped_customer.email, mapped_customer.currency) == (None, "USD")
    assert to_event(resources["event"], ORIGIN).event_type == resources["event"]["type"]


@needs_data
def test_events_recorded_from_the_wild_can_be_mapped() -> None:
    bodies = [
        json.loads(path.read_text()) for path in sorted((DATA / "webhooks" / "stripe_events").glob("*.json"))
    ]
    assert len(bodies) > 60
    for body in bodies:
        mapped = to_event(body, ORIGIN)
        assert mapped.resource_id == body["data"]["object"].get("id")
        if body["data"]["object"]["object"] == "invoice":
            old = to_invoice(body["data"]["object"], ORIGIN)
            assert old.total is not None
            assert len(old.line_items) == len(body["data"]["object"]["lines"]["data"])


class Noted(dict[str, Any]):
    """A raw object that notes which of its fields are asked for."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


@needs_data
def test_every_field_that_is_read_is_one_of_stripes() -> None:
    known = json.loads((DATA / "stripe" / "types-latest.json").read_text())
    former = json.loads((DATA / "stripe" / "fixtures3.2024-06-20.json").read_text())["resources"]
    raw_line = Noted({"id": "il_1", "amount": 1})
    raw_invoice = Noted({"id": "in_1", "currency": "usd", "total": 1, "lines": {"data": [raw_line]}})
    raw_customer = Noted({"id": "cus_1"})
    to_customer(raw_customer, ORIGIN)
    to_invoice(raw_invoice, ORIGIN)
    assert raw_customer.asked <= known["Customer"].keys()
    assert raw_invoice.asked <= known["Invoice"].keys() | former["invoice"].keys()
    assert raw_line.asked <= known["InvoiceLineItem"].keys() | former["invoice"]["lines"]["data"][0].keys()
    assert min(len(raw.asked) for raw in (raw_customer, raw_invoice, raw_line)) > 10


def test_the_key_is_no_part_of_the_adapters_repr() -> None:
    adapter = StripeAdapter(
        StripeConfig(),
        {"api_key": Secret("sk_test_fake_key")},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe"),
    )
    assert "fake" not in repr(vars(adapter))
