"""Unusable values: kept aside where a record can do without them, and refused where it can't."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from unified.schema.customer import UnifiedCustomer
from unified.schema.invoice import UnifiedInvoice, UnifiedLineItem
from unified.schema.reading import currency, moment, number
from unified.schema.unusable import Unusable, has_unusable

IDENTITY: dict[str, Any] = {
    "source_system": "stripe",
    "source_id": "in_1",
    "unified_id": UUID(int=1),
    "observed_at": datetime(2026, 1, 1, tzinfo=UTC),
    "synced_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def test_a_record_of_which_all_can_be_read_has_nothing_aside() -> None:
    unusable = Unusable()
    record = unusable.record(
        UnifiedInvoice, **IDENTITY, custom_fields={"a": 1}, due_date=unusable.read("due_date", moment, 0)
    )
    assert record.custom_fields == {"a": 1}
    assert record.due_date == datetime(1970, 1, 1, tzinfo=UTC)
    assert not has_unusable(record)


@pytest.mark.parametrize(
    ("reader", "written"),
    [
        (moment, "20261-12-24"),
        (moment, 10**18),
        (moment, [1]),
        (number, "many"),
        (number, {"a": 1}),
        (number, "-Infinity"),
        (currency, "EURO"),
        (currency, 978),
        (lambda value: value["type"], "not an object"),
    ],
)
def test_what_a_reader_refuses_is_kept_as_it_was_written(reader: Any, written: Any) -> None:
    unusable = Unusable()
    assert unusable.read("due_date", reader, written) is None
    record = unusable.record(UnifiedInvoice, **IDENTITY, total=Decimal(5))
    assert (record.total, record.custom_fields) == (Decimal(5), {"invalid_due_date": written})
    assert has_unusable(record)


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("name", 7),
        ("phone", ["1"]),
        ("billing_address", "Main Street"),
        ("is_active", "perhaps"),
        ("tags", "a"),
    ],
)
def test_what_a_model_refuses_is_kept_aside_as_well(field: str, written: Any) -> None:
    record = Unusable().record(UnifiedCustomer, **IDENTITY, email="a@b.example", **{field: written})
    assert (record.email, record.custom_fields) == ("a@b.example", {f"invalid_{field}": written})


@pytest.mark.parametrize(
    "essential",
    [
        {"total": "much"},
        {"amount_due": 1.5},
        {"source_id": None},
        {"observed_at": None},
        {"tax": Decimal("NaN")},
    ],
)
def test_identity_and_amounts_are_never_kept_aside(essential: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Unusable().record(UnifiedInvoice, **{**IDENTITY, "memo": 7, **essential})


def test_one_odd_line_does_not_cost_the_others() -> None:
    unusable = Unusable()

    def line(raw: dict[str, Any], part: Unusable) -> UnifiedLineItem:
        return part.model(UnifiedLineItem, {"quantity": part.read("quantity", number, raw["quantity"])})

    written = [{"id": "a", "quantity": 1}, None, {"id": "b", "quantity": "x"}, {"quantity": []}]
    lines = unusable.each("line_items", written, line)
    assert [one.quantity for one in lines] == [Decimal(1), None, None]
    assert unusable.values == {"line_items": {"1": None, "b": {"quantity": "x"}, "3": {"quantity": []}}}


def test_a_customer_is_reached_by_what_can_be_used() -> None:
    unusable = Unusable()
    reached = unusable.reach(
        ["not one", "A@b.example", None, "a@b.example"], ["1", "", None, {"a": 1}, "2", "1"]
    )
    assert reached == {
        "email": "A@b.example", "emails": ("A@b.example", "a@b.example"), "phone": "1", "phones": ("1", "2")
    }  # fmt: skip
    assert unusable.values == {"email": "not one", "phone": {"a": 1}}
    assert Unusable().reach([], []) == {"email": None, "emails": (), "phone": None, "phones": ()}


def test_times_count_what_the_source_counts() -> None:
    unusable = Unusable(per_second=1000)
    assert unusable.time("due_date", 1000) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert unusable.time("paid_date", "never") is None
    assert unusable.values == {"paid_date": "never"}
