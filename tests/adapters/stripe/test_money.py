"""Stripe's minor units, against https://docs.stripe.com/currencies."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from adapters.stripe.money import MINOR_UNITS, UNITS
from tests.properties import given
from unified.schema.money import exponent, to_minor_units

CURRENCIES = sorted({*MINOR_UNITS, "USD", "EUR", "HUF", "TWD"})


@pytest.mark.parametrize(
    ("minor_units", "currency", "text"),
    [
        (1050, "USD", "10.50"),
        (-1, "EUR", "-0.01"),
        (0, "USD", "0.00"),
        (500, "JPY", "500"),
        (5120, "KWD", "5.120"),
        (500, "ISK", "5"),  # counted in hundredths, though no coin is smaller than 1
        (500, "UGX", "5"),
        (1045, "HUF", "10.45"),
        (80045, "TWD", "800.45"),
        (500, "MGA", "500.00"),  # counted in whole ariary, though ISO 4217 gives it two digits
        (250, "ISK", "2.50"),  # not allowed for a charge, but never rounded away
    ],
)
def test_amounts_of_special_currencies(minor_units: int, currency: str, text: Any) -> None:
    assert str(UNITS.amount(minor_units, currency)) == text


@pytest.mark.parametrize(
    ("text", "currency", "price"),
    [
        ("1050", "USD", "10.50"),
        ("0.25", "USD", "0.0025"),
        ("0.123456789012", "USD", "0.00123456789012"),
        ("-12.5", "EUR", "-0.125"),
        ("500", "JPY", "500"),
        ("0.5", "JPY", "0.5"),
        ("1", "KWD", "0.001"),
        ("100", "ISK", "1"),
        (1050, "USD", "10.50"),
    ],
)
def test_prices_finer_than_a_cent_are_exact(text: Any, currency: str, price: str) -> None:
    assert str(UNITS.price(text, currency)) == price


@given(st.integers(-(10**15), 10**15), st.sampled_from(CURRENCIES))
def test_no_amount_is_ever_rounded(minor_units: int, currency: str) -> None:
    value = UNITS.amount(minor_units, currency)
    assert value is not None
    assert to_minor_units(value, currency, digits=UNITS.digits(currency)) == minor_units
    assert -value.as_tuple().exponent >= exponent(currency)


@given(st.decimals(-(10**9), 10**9, places=12, allow_nan=False), st.sampled_from(CURRENCIES))
def test_no_price_is_ever_rounded(units: Decimal, currency: str) -> None:
    assert UNITS.price(str(units), currency) == units.scaleb(-UNITS.digits(currency))


@given(st.lists(st.integers(-(10**9), 10**9)), st.sampled_from(CURRENCIES))
def test_sums_are_exact(parts: Any, currency: str) -> None:
    assert UNITS.total([{"amount": part} for part in parts], currency) == Decimal(sum(parts)).scaleb(
        -UNITS.digits(currency)
    )


def test_what_is_not_stated_stays_unknown() -> None:
    assert (UNITS.amount(None, "USD"), UNITS.total(None, "USD"), UNITS.price(None, "USD")) == (
        None,
        None,
        None,
    )
    assert UNITS.total([], "USD") == 0


@pytest.mark.parametrize("wrong", [10.5, "1050", True])
def test_an_amount_that_is_no_integer_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        UNITS.amount(wrong, "USD")
