"""Contacts and invoices as unified records, and customers as contacts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from adapters.hubspot.mapping import (
    CONTACT_PROPERTIES,
    INVOICE_PROPERTIES,
    WRITABLE_FIELDS,
    contact_body,
    customer,
    invoice,
)
from tests.adapters.writes import changed_fields
from tests.properties import given
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.factory import build_adapter
from unified.kit.secrets import Secret
from unified.schema import InvoiceStatus, UnifiedAddress, UnifiedCustomer, UnifiedInvoice
from unified.schema.reading import moment

if TYPE_CHECKING:
    from unified.kit.streams import Origin

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ADAPTER = build_adapter(
    "hubspot",
    {},
    {"access_token": Secret("pat-fake-acme")},
    ConnectionRef(UUID(int=1), UUID(int=2), "acme/hubspot"),
)
ORIGIN: Origin = ADAPTER.origin("customers", NOW, NOW)


def contact_of(associations: dict[str, Any] | None = None, /, **properties: str | None) -> dict[str, Any]:
    return {
        "id": "512",
        "properties": {"hs_object_id": "512", "lastmodifieddate": "2026-03-02T10:11:12.345Z", **properties},
        "createdAt": "2026-01-02T03:04:05.678Z",
        "updatedAt": "2026-03-02T10:11:12.345Z",
        "archived": False,
        **({"associations": associations} if associations else {}),
    }


def invoice_of(lines: list[dict[str, Any]] | None = None, /, **properties: str | None) -> dict[str, Any]:
    raw = contact_of({"contacts": [{"id": "101"}], "companies": [{"id": "9"}], "line_items": lines or []})
    return {**raw, "properties": properties}


def line(number: int, **properties: str | None) -> dict[str, Any]:
    return {"id": str(number), "properties": properties}


def test_a_contact_in_full() -> None:
    acme = {"id": "9", "name": "Acme GmbH", "domain": "acme.example"}
    raw = contact_of(
        {"companies": [acme, {"id": "10", "name": "Other", "domain": None}]},
        email="Ana@Shop.Example", hs_additional_emails="old@shop.example;older@shop.example", firstname="Ana",
        lastname="van der Berg", phone="+49 1", mobilephone="+49 2", company="typed by hand",
        address="1 Main Street", city="Köln", state="NW",
        zip="50667", country="Germany", lifecyclestage="customer", jobtitle=None,
    )  # fmt: skip
    record = customer(raw, ORIGIN)
    assert record.source_id == "512"
    assert (record.email, record.emails) == (
        "Ana@shop.example",
        ("Ana@shop.example", "old@shop.example", "older@shop.example"),
    )
    assert (record.name, record.company) == ("Ana van der Berg", "Acme GmbH")
    assert (record.phone, record.phones) == ("+49 1", ("+49 1", "+49 2"))
    assert record.billing_address == UnifiedAddress(
        line1="1 Main Street", city="Köln", state="NW", postal_code="50667", country="Germany"
    )
    assert record.created_at == datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    assert record.updated_at == datetime(2026, 3, 2, 10, 11, 12, 345000, UTC)
    assert (record.is_active, record.deleted_at) == (True, None)
    assert record.custom_fields == {"lifecyclestage": "customer", "company_ids": ["9", "10"]}
    assert record.raw_data == raw


def test_a_contact_of_which_only_the_id_is_known() -> None:
    record = customer(contact_of(email=None, firstname="", address=None), ORIGIN)
    assert record.model_dump(
        include={"email", "emails", "name", "phone", "phones", "company", "billing_address", "custom_fields"}
    ) == {
        "email": None, "emails": (), "name": None, "phone": None, "phones": (), "company": None,
        "billing_address": None, "custom_fields": {},
    }  # fmt: skip


def test_the_company_property_stands_in_where_no_associated_company_has_a_name() -> None:
    raw = contact_of({"companies": [{"id": "9", "name": None, "domain": None}]}, company="typed by hand")
    assert customer(raw, ORIGIN).company == "typed by hand"


def test_an_unusable_email_does_not_cost_the_customer() -> None:
    record = customer(contact_of(email="call reception", hs_additional_emails="a@b.example;nope"), ORIGIN)
    assert (record.email, record.emails) == (None, ("a@b.example",))
    assert record.custom_fields == {"invalid_email": "call reception", "invalid_additional_emails": ["nope"]}


def test_an_archived_contact_is_not_active() -> None:
    record = customer({**contact_of(), "archived": True, "archivedAt": "2026-05-06T07:08:09Z"}, ORIGIN)
    assert (record.is_active, record.deleted_at) == (False, datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC))


def test_an_invoice_in_full() -> None:
    raw = invoice_of(
        [
            line(
                71, name="Pro plan", quantity="2.5", price="100.001", amount="225.00", hs_tax_amount="42.75",
                hs_total_discount="25.00", hs_product_id="800", hs_position_on_quote="0",
            ),
        ],
        hs_number="INV-1003", hs_invoice_status="open", hs_currency="EUR", hs_subtotal="225",
        hs_taxes_total="42.75", hs_discounts_total="25.00", hs_amount_billed="267.75", hs_amount_paid="67.75",
        hs_balance_due="200.00", hs_invoice_date="2026-03-01", hs_due_date="1774915200000",
        hs_payment_date=None, hs_comments="Merci, ありがとう",
        hs_invoice_link="https://invoices.hubspot.example/1", hs_title="Invoice 1003",
    )  # fmt: skip
    record = invoice(raw, ORIGIN)
    assert (record.customer_id, record.custom_fields) == (
        "101",
        {"hs_title": "Invoice 1003", "company_ids": ["9"]},
    )
    assert (record.status, record.remote_status) == (InvoiceStatus.OPEN, "open")
    assert (record.subtotal, record.tax, record.discount) == (
        Decimal("225.00"),
        Decimal("42.75"),
        Decimal("25.00"),
    )
    assert (record.total, record.amount_paid, record.amount_remaining) == (
        Decimal("267.75"),
        Decimal("67.75"),
        Decimal("200.00"),
    )
    assert (record.issue_date, record.due_date) == (
        datetime(2026, 3, 1, tzinfo=UTC),
        datetime(2026, 3, 31, tzinfo=UTC),
    )
    assert (record.memo, record.hosted_url) == ("Merci, ありがとう", "https://invoices.hubspot.example/1")
    (item,) = record.line_items
    assert (item.source_id, item.description, item.item_id) == ("71", "Pro plan", "800")
    assert (item.quantity, item.unit_price, item.amount) == (
        Decimal("2.5"),
        Decimal("100.001"),
        Decimal("225.00"),
    )
    assert (item.tax, item.discount) == (Decimal("42.75"), Decimal("25.00"))


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("draft", InvoiceStatus.DRAFT),
        ("open", InvoiceStatus.OPEN),
        ("paid", InvoiceStatus.PAID),
        ("voided", InvoiceStatus.VOID),
        ("something new", None),
        (None, None),
    ],
)
def test_every_invoice_status(remote: str | None, status: InvoiceStatus | None) -> None:
    record = invoice(invoice_of(hs_invoice_status=remote), ORIGIN)
    assert (record.status, record.remote_status) == (status, remote)


def test_an_invoice_without_contact_company_or_currency() -> None:
    raw = {
        **invoice_of(hs_amount_billed="5"),
        "associations": {"contacts": [], "companies": [], "line_items": []},
    }
    record = invoice(raw, ORIGIN)
    assert (record.customer_id, record.currency, record.total) == (None, None, Decimal("5.00"))
    assert record.custom_fields == {}


def test_further_contacts_of_an_invoice_are_kept() -> None:
    raw = {**invoice_of(), "associations": {"contacts": [{"id": "5"}, {"id": "6"}]}}
    record = invoice(raw, ORIGIN)
    assert (record.customer_id, record.custom_fields["contact_ids"]) == ("5", ["5", "6"])


def test_lines_stand_in_the_invoices_order_beyond_ten() -> None:
    lines = [line(1000 - place, hs_position_on_quote=str(place)) for place in range(12)]
    record = invoice(invoice_of([line(5), *reversed(lines)]), ORIGIN)
    assert [item.source_id for item in record.line_items] == [
        *(str(1000 - place) for place in range(12)),
        "5",
    ]


@pytest.mark.parametrize(
    ("code", "text", "amount"),
    [("JPY", "1050", "1050"), ("KWD", "10.5", "10.500"), ("USD", "-0.005", "-0.005")],
)
def test_money_has_its_currencys_digits(code: str, text: str, amount: str) -> None:
    assert str(invoice(invoice_of(hs_currency=code, hs_amount_billed=text), ORIGIN).total) == amount


@given(
    amount=st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15
    ),
    code=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
)
def test_no_amount_changes_on_its_way(amount: Decimal, code: str) -> None:
    raw = invoice_of([line(1, price=str(amount))], hs_currency=code, hs_amount_billed=str(amount))
    record = invoice(raw, ORIGIN)
    assert record.total == amount
    assert record.line_items[0].unit_price == amount


@pytest.mark.parametrize("text", ["12,50", "NaN", "1" * 29, "1" * 27 + ".11"])
@pytest.mark.parametrize("name", ["hs_amount_billed", "hs_taxes_total", "hs_balance_due"])
def test_an_amount_that_can_not_be_kept_exactly_is_refused_with_a_reason(name: str, text: str) -> None:
    with pytest.raises(MappingError, match="amount"):
        ADAPTER.map_record("invoices", json.dumps(invoice_of(**{name: text})).encode(), ORIGIN)


@pytest.mark.parametrize(
    ("name", "written", "field"),
    [
        ("hs_due_date", "20261-12-24", "due_date"),
        ("hs_due_date", "253402300800000", "due_date"),
        ("hs_due_date", "soon", "due_date"),
        ("hs_payment_date", {"day": 1}, "paid_date"),
        ("hs_invoice_date", True, "issue_date"),
        ("hs_currency", "euro", "currency"),
        ("hs_currency", 978, "currency"),
        ("hs_invoice_status", ["open"], "status"),
        ("hs_number", 12, "invoice_number"),
        ("hs_comments", {"text": "hi"}, "memo"),
    ],
)
def test_an_odd_field_of_an_invoice_does_not_cost_its_amounts(name: str, written: Any, field: str) -> None:
    raw = {**invoice_of(hs_amount_billed="480.00"), "archived": False}
    raw["properties"][name] = written
    record = ADAPTER.map_record("invoices", json.dumps(raw).encode(), ORIGIN)
    assert isinstance(record, UnifiedInvoice)
    assert (record.total, getattr(record, field)) == (Decimal("480.00"), None)
    assert record.custom_fields[f"invalid_{field}"] == written


CASES = Path(__file__).parents[4] / "shared" / "cases" / "turn2"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases from the field (../shared/cases) are not here")
def test_a_due_date_of_five_digits_keeps_the_amount() -> None:
    case = json.loads((CASES / "hubspot_due_date_of_five_digits.json").read_text())
    found = [ADAPTER.map_record("invoices", json.dumps(one).encode(), ORIGIN) for one in case["invoices"]]
    assert [(one.total, one.due_date) for one in found if isinstance(one, UnifiedInvoice)] == [
        (Decimal("480.00"), None),
        (Decimal("20.00"), None),
    ]
    written = [one["properties"]["hs_due_date"] for one in case["invoices"]]
    assert [one.custom_fields["invalid_due_date"] for one in found] == written


def test_odd_quantities_positions_and_lines_do_not_cost_the_invoice() -> None:
    raw = invoice_of(
        [line(2, quantity="two", amount="1.00"), line(1, quantity="NaN", hs_position_on_quote="top")],
        hs_amount_billed="480.00",
    )
    record = invoice(raw, ORIGIN)
    assert record.total == Decimal(480)
    assert [(one.source_id, one.quantity) for one in record.line_items] == [("1", None), ("2", None)]
    assert record.line_items[1].amount == Decimal("1.00")
    assert record.custom_fields["invalid_line_items"] == {"1": {"quantity": "NaN"}, "2": {"quantity": "two"}}


def test_odd_times_and_names_do_not_cost_a_contact() -> None:
    raw = {**contact_of(phone=12345, firstname=7, email=8), "createdAt": "20261-01-01"}
    record = ADAPTER.map_record("customers", json.dumps(raw).encode(), ORIGIN)
    assert isinstance(record, UnifiedCustomer)
    assert (record.created_at, record.phone, record.name, record.email) == (None, None, None, None)
    assert record.custom_fields["invalid_created_at"] == "20261-01-01"
    assert record.custom_fields["invalid_phone"] == 12345
    assert record.custom_fields["invalid_email"] == 8


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T10:11:12.345Z", datetime(2026, 3, 2, 10, 11, 12, 345000, UTC)),
        ("2026-03-02T10:11:12+02:00", datetime(2026, 3, 2, 8, 11, 12, tzinfo=UTC)),
        ("2026-03-02", datetime(2026, 3, 2, tzinfo=UTC)),
        ("1772446272345", datetime(2026, 3, 2, 10, 11, 12, 345000, UTC)),
        ("-1000", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_times_in_every_form(text: str | None, time: datetime | None) -> None:
    assert moment(text, per_second=1000) == time


def test_every_property_that_is_mapped_is_asked_for() -> None:
    # One that is mapped but not asked for would be null for ever; the rest of what is asked for is custom.
    contact = customer(contact_of(**dict.fromkeys(CONTACT_PROPERTIES, "a@b.example")), ORIGIN)
    assert set(contact.custom_fields) < set(CONTACT_PROPERTIES)
    assert contact.model_fields_set > {"email", "emails", "name", "phone", "company", "billing_address"}
    values = dict.fromkeys(INVOICE_PROPERTIES, "1") | {"hs_currency": "USD"}
    record = invoice(invoice_of(**values), ORIGIN)
    unset = {name for name, value in record if value is None}
    assert unset == {"amount_due", "deleted_at", "livemode", "status"}


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)
emails = words.map(lambda word: f"{word.encode().hex()}@shop.example")


@st.composite
def customers(draw: st.DrawFn) -> UnifiedCustomer:
    maybe = st.none() | words
    email, phones = draw(st.none() | emails), draw(st.lists(words, max_size=2, unique=True))
    more = draw(st.lists(emails, max_size=2, unique=True))
    address = st.builds(
        UnifiedAddress, line1=phrases, city=maybe, state=maybe, postal_code=maybe, country=maybe
    )
    return UnifiedCustomer(
        **ORIGIN.identify("512"),
        email=email,
        emails=tuple(dict.fromkeys([*([email] if email else []), *more])),
        name=draw(st.none() | phrases),
        phone=phones[0] if phones else None,
        phones=tuple(phones),
        company=draw(st.none() | phrases),
        billing_address=draw(st.none() | address),
    )


def read_back(body: dict[str, Any], before: UnifiedCustomer | None = None) -> UnifiedCustomer:
    """The customer that HubSpot holds after a write; ``before`` is the contact that is updated."""
    known = before.raw_data["properties"] if before else {}
    properties = {name: value or None for name, value in body["properties"].items()}
    return customer(contact_of(**{**known, **properties}), ORIGIN)


@given(customers())
def test_what_a_contact_can_hold_survives_writing_and_reading_back(record: UnifiedCustomer) -> None:
    again = read_back(contact_body(record))
    fields = {"email", "emails", "name", "phone", "phones", "company", "billing_address"}
    assert again.model_dump(include=fields) == record.model_dump(include=fields)


ANY_TEXT = st.none() | st.text(max_size=12)
ANY_CUSTOMERS = st.builds(
    lambda **fields: UnifiedCustomer(**ORIGIN.identify("512"), **fields),
    email=st.none() | st.sampled_from(["Ana@shop.example", "ünï@shop.example"]),
    emails=st.lists(st.sampled_from(["Ana@shop.example", "ana@shop.example", "b@shop.example"])).map(tuple),
    name=ANY_TEXT,
    phone=ANY_TEXT,
    phones=st.lists(st.text(max_size=5), max_size=4).map(tuple),
    company=ANY_TEXT,
    billing_address=st.none()
    | st.builds(
        UnifiedAddress,
        **dict.fromkeys(("line1", "line2", "city", "state", "postal_code", "country"), ANY_TEXT),
    ),
    shipping_address=st.none() | st.just(UnifiedAddress(city="Köln")),
    description=ANY_TEXT,
    custom_fields=st.dictionaries(
        st.sampled_from(["jobtitle", "website", "plan", "city"]), ANY_TEXT | st.integers()
    ),
)


@given(ANY_CUSTOMERS)
def test_what_was_written_needs_no_second_write(record: UnifiedCustomer) -> None:
    assert changed_fields(ADAPTER, read_back(ADAPTER.from_unified("customers", record)), record) == ()


@given(ANY_CUSTOMERS, ANY_CUSTOMERS)
def test_an_update_of_the_changed_fields_makes_the_one_look_like_the_other(
    current: UnifiedCustomer, desired: UnifiedCustomer
) -> None:
    current = read_back(ADAPTER.from_unified("customers", current))
    desired = desired.model_copy(update={"custom_fields": {**current.custom_fields, **desired.custom_fields}})
    fields = changed_fields(ADAPTER, current, desired)
    body = ADAPTER.from_unified("customers", desired, fields)
    assert changed_fields(ADAPTER, read_back(body, current), desired) == ()
    # The answer shows what was written and no more: it tells all about the fields that were.
    answered = read_back(body)
    assert not set(fields) & set(changed_fields(ADAPTER, answered, desired))


def test_custom_fields_that_settings_name_are_written_and_no_others() -> None:
    adapter = build_adapter(
        "hubspot",
        {"properties": ["crm_tier", "email"]},
        {"access_token": Secret("pat-fake-acme")},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/hubspot"),
    )
    fields = {
        "crm_tier": "gold",
        "website": "w",
        "email": "x",
        "lifecyclestage": "lead",
        "company_ids": ["9"],
    }
    record = UnifiedCustomer(**ORIGIN.identify("1"), custom_fields=fields)
    assert adapter.from_unified("customers", record) == {"properties": {"crm_tier": "gold", "website": "w"}}
    assert adapter.from_unified(
        "customers", record, ("custom_fields.jobtitle", "custom_fields.crm_tier")
    ) == {"properties": {"jobtitle": None, "crm_tier": "gold"}}
    with pytest.raises(ConfigurationError, match="tax_number is not written"):
        adapter.from_unified("customers", record, ("tax_number",))


def test_every_writable_field_is_one_that_is_written() -> None:
    for field in WRITABLE_FIELDS:
        ADAPTER.from_unified("customers", UnifiedCustomer(**ORIGIN.identify("1")), (field,))


def test_a_contact_body_names_nothing_that_is_not_known() -> None:
    record = UnifiedCustomer(
        **ORIGIN.identify("cus_fake_1"),
        name="Madonna",
        billing_address=UnifiedAddress(line1="1 Main Street", line2="Floor 2"),
    )
    assert contact_body(record) == {
        "properties": {"firstname": "Madonna", "address": "1 Main Street, Floor 2"}
    }


def test_invoices_are_not_written() -> None:
    record = UnifiedInvoice(**ORIGIN.identify("1"))
    with pytest.raises(ConfigurationError, match="UnifiedInvoice"):
        ADAPTER.from_unified("customers", record)
