"""How values are written for a binary COPY; that PostgreSQL reads them is seen by the tests of batches."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from unified.schema import UnifiedInvoice, UnifiedLineItem
from unified.schema.entities import INVOICES
from unified.store.records.merge.rows import row_encoder, values_of
from unified.store.records.tables import TABLES

pytestmark = pytest.mark.quick

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def encoded(*columns: str, **fields: Any) -> list[bytes]:
    invoice = UnifiedInvoice(
        source_system="stripe",
        source_id="in_1",
        unified_id=UUID(int=1),
        observed_at=NOW,
        synced_at=NOW,
        **fields,
    )
    return list(values_of(row_encoder(TABLES[INVOICES], columns)(invoice)))


def test_a_time_that_a_clock_shows_twice_is_written_as_two() -> None:
    # Both are 2:30 on the night in which summer ends, and Python takes them for equal.
    summer = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    winter = summer.replace(fold=1)
    first, second = encoded("created_at", "updated_at", created_at=summer, updated_at=winter)
    assert int.from_bytes(second[4:]) - int.from_bytes(first[4:]) == 3_600_000_000
    assert [second] == encoded("created_at", "synced_at", created_at=winter.astimezone(UTC))[:1]


def test_equal_amounts_keep_their_digits() -> None:
    first, second, third = encoded(
        "subtotal", "total", "tax", subtotal=Decimal("1.5"), total=Decimal("1.50"), tax=Decimal("1.5")
    )
    assert first == third != second


def test_lines_are_written_as_the_model_writes_them() -> None:
    line = UnifiedLineItem(
        description="naïve “quote” \\ \x7f",
        quantity=Decimal("1E+3"),
        unit_price=Decimal("0.0000001"),
        amount=Decimal("-0.00"),
        period_start=NOW,
        period_end=datetime(2026, 1, 1, 1, 2, 3, 40, tzinfo=ZoneInfo("Asia/Kolkata")),
    )
    written, _ = encoded("line_items", "custom_fields", line_items=(line,))
    assert written[4:] == b"\x01[" + line.model_dump_json().encode() + b"]"
