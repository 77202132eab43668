"""Values out of raw records."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from unified.schema.address import UnifiedAddress
from unified.schema.reading import address, currency, emails, first_of, joined, moment, number, text


def test_text_and_the_first_of_several_fields() -> None:
    assert [text("a"), text(""), text(None)] == ["a", None, None]
    assert first_of({"a": None, "b": 0, "c": 1}, "a", "b", "c") == 0
    assert first_of({}, "a") is None


@pytest.mark.parametrize(
    ("value", "per_second", "read"),
    [
        (None, 1, None),
        ("", 1, None),
        (0, 1, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_700_000_000, 1, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000123", 1000, datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)),
        ("-86400000", 1000, datetime(1969, 12, 31, tzinfo=UTC)),
        ("2026-11-20", 1000, datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T12:00:00.5Z", 1, datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20T12:00:00+02:00", 1, datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_time(value: Any, per_second: int, read: datetime | None) -> None:
    assert moment(value, per_second=per_second) == read


@pytest.mark.parametrize(
    "value", ["yesterday", "2026-13-01", 10**18, "9" * 30, -(10**15), "20261-12-24", True]
)
def test_what_is_not_a_time_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        moment(value)


@pytest.mark.parametrize(
    ("value", "read"),
    [(None, None), ("", None), ("1.10", Decimal("1.10")), (3, Decimal(3)), (Decimal("0.1"), Decimal("0.1"))],
)
def test_a_number_is_exact(value: Any, read: Decimal | None) -> None:
    found = number(value)
    assert found == read
    assert str(found) == str(read)


def test_what_is_not_a_number_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="not a decimal number: 'ten'"):
        number("ten")
    for endless in ("NaN", "-Infinity", float("nan")):
        with pytest.raises(ValueError, match="not a finite number"):
            number(endless)


def test_a_currency_is_three_letters_in_upper_case() -> None:
    assert [currency(value) for value in ("eur", " USD ", "", None)] == ["EUR", "USD", None, None]
    for odd in ("EURO", "E1R", "€UR", "ÄÖÜ"):
        with pytest.raises(ValueError, match="three letters"):
            currency(odd)


def test_texts_that_are_there_are_joined() -> None:
    assert joined(("Ada", None, "Lovelace")) == "Ada Lovelace"
    assert joined((None, "")) is None


def test_addresses_are_sorted_out_each_once() -> None:
    valid, invalid = emails(
        [" Ada@Example.com", "ada@EXAMPLE.com", None, "", " ", "Ada@example.com", "nobody", "nobody"]
    )
    assert valid == ["Ada@example.com", "ada@example.com"]
    assert invalid == ["nobody"]
    assert emails([7, ["a@b.example"], "a@b.example"]) == (["a@b.example"], [7, ["a@b.example"]])


def test_an_address_has_the_parts_that_are_known() -> None:
    assert address({"line1": "1 Main St", "city": "", "state": None}) == UnifiedAddress(line1="1 Main St")
    assert address({"line1": "", "city": None}) is None
    assert address({}) is None
