from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from email_validator import validate_email
from hypothesis import example, given, strategies
from pydantic import ValidationError

from unified.schema import (
    InvoiceStatus,
    UnifiedCustomer,
    UnifiedEvent,
    UnifiedInvoice,
    UnifiedLineItem,
    connection_namespace,
    unified_id,
)
from unified.schema.customer import _PLAIN_EMAIL, check_email
from unified.schema.versions import UnknownSchemaVersionError, json_schemas, read, upgrade

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WORKSPACE, CONNECTION = UUID(int=1), UUID(int=2)


def identity(**more: Any) -> dict[str, Any]:
    namespace = connection_namespace(WORKSPACE, CONNECTION, "customers")
    return {
        "source_system": "stripe",
        "source_id": "cus_1",
        "unified_id": unified_id(namespace, "cus_1"),
        "observed_at": NOW,
        "synced_at": NOW,
        **more,
    }


def test_a_customer_needs_nothing_but_its_identity() -> None:
    customer = UnifiedCustomer(**identity())
    assert customer.email is None
    assert customer.is_active
    assert customer.emails == ()


@pytest.mark.parametrize(
    "email",
    ["ana@example.com", "JOSÉ@example.com", "a.b+c@sub.example.museum", "δοκιμή@παράδειγμα.gr", "a@b.test"],
)
def test_a_valid_email_is_accepted(email: str) -> None:
    assert UnifiedCustomer(**identity(email=email)).email


@pytest.mark.parametrize(
    "email", ["", "ana", "ana@", "@example.com", "a b@example.com", "a@example..com", "a@b"]
)
def test_an_invalid_email_is_refused(email: str) -> None:
    with pytest.raises(ValidationError, match="email"):
        UnifiedCustomer(**identity(email=email))


@given(
    strategies.builds(
        lambda local, domain, top: f"{'.'.join(local)}@{'.'.join(domain)}.{top}",
        strategies.lists(strategies.from_regex(r"[a-z0-9_+-]{1,6}", fullmatch=True), min_size=1, max_size=3),
        strategies.lists(
            strategies.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,6})?", fullmatch=True), min_size=1, max_size=3
        ),
        strategies.from_regex(r"[a-z]{2,9}", fullmatch=True),
    ).filter(_PLAIN_EMAIL.fullmatch)
)
@example("a@b.com")
@example("x_y-z+1@a-b.c9.org")
@example("1.2.3@4.it")
@example("a@b.test")
def test_what_the_quick_check_of_an_email_accepts_the_library_accepts_too(text: str) -> None:
    checked = validate_email(text, check_deliverability=False, test_environment=True)
    assert check_email(text) == checked.normalized == text


@pytest.mark.parametrize("reserved", ["arpa", "invalid", "local", "localhost", "onion"])
def test_an_email_below_a_reserved_domain_is_refused(reserved: str) -> None:
    with pytest.raises(ValueError, match="special-use or reserved"):
        check_email(f"ann@mail.{reserved}")


def test_a_field_that_nobody_declared_is_refused() -> None:
    with pytest.raises(ValidationError, match="nickname"):
        UnifiedCustomer(**identity(nickname="Ann"))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        UnifiedCustomer(**identity(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        UnifiedCustomer(**identity()).name = "Eve"  # type: ignore[misc]


def test_raw_data_does_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(UnifiedCustomer(**identity(raw_data={"note": "hunter2"})))


def test_the_same_record_has_the_same_id_and_no_other_has() -> None:
    mine = connection_namespace(WORKSPACE, CONNECTION, "customers")
    assert (
        unified_id(mine, "cus_1") == unified_id(mine, "cus_1") == UUID("90db02d7-796c-585d-ba40-5f474f87cd31")
    )
    others = {
        unified_id(connection_namespace(UUID(int=9), CONNECTION, "customers"), "cus_1"),
        unified_id(connection_namespace(WORKSPACE, UUID(int=9), "customers"), "cus_1"),
        unified_id(connection_namespace(WORKSPACE, CONNECTION, "invoices"), "cus_1"),
        unified_id(mine, "cus_2"),
    }
    assert len(others) == 4
    assert unified_id(mine, "cus_1") not in others


def test_an_invoice_keeps_exact_amounts() -> None:
    line = UnifiedLineItem(quantity=Decimal("1.5"), unit_price=Decimal("0.0000001"), amount=Decimal("0.10"))
    invoice = UnifiedInvoice(
        **identity(total=Decimal("0.10"), currency="USD", status="open", line_items=(line,))
    )
    assert invoice.status is InvoiceStatus.OPEN
    assert invoice.line_items[0].unit_price == Decimal("0.0000001")
    with pytest.raises(ValidationError, match="float"):
        UnifiedInvoice(**identity(total=0.1))
    with pytest.raises(ValidationError, match="currency"):
        UnifiedInvoice(**identity(currency="usd"))


def test_an_event_says_what_happened_and_when() -> None:
    event = UnifiedEvent(**identity(event_type="invoice.upcoming", occurred_at=NOW))
    assert event.resource_id is None
    with pytest.raises(ValidationError, match="occurred_at"):
        UnifiedEvent(**identity(event_type="invoice.paid"))


def test_a_row_of_the_first_version_is_read_as_todays() -> None:
    old = {**identity(email="a@example.com", phone="+41"), "observed_at": None}
    del old["observed_at"]
    customer = read(UnifiedCustomer, old, "1.0.0")
    assert customer.emails == ("a@example.com",)
    assert customer.phones == ("+41",)
    assert customer.observed_at == NOW

    invoice = read(UnifiedInvoice, identity(status="paid", total=Decimal(7)), "1.0.0")
    assert (invoice.amount_paid, invoice.amount_remaining) == (Decimal(7), Decimal(0))
    assert read(UnifiedInvoice, identity(status="open", total=Decimal(7)), "1.0.0").amount_paid is None


def test_a_row_of_an_unknown_version_is_refused_with_a_reason() -> None:
    with pytest.raises(UnknownSchemaVersionError, match="newer release"):
        read(UnifiedCustomer, identity(), "99.0.0")


def test_the_way_up_is_one_way() -> None:
    with pytest.raises(ValueError, match="already"):
        upgrade(UnifiedCustomer, "1.0.0", "1.2.0")(lambda fields: fields)


def test_the_models_are_published_as_json_schema() -> None:
    schemas = json_schemas()
    assert set(schemas) == {"UnifiedCustomer", "UnifiedInvoice", "UnifiedEvent", "UnifiedRecord"}
    assert schemas["UnifiedInvoice"]["x-schema-version"] == UnifiedInvoice.__schema_version__
    assert "line_items" in schemas["UnifiedInvoice"]["properties"]
