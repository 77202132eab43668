from decimal import Decimal

import pytest
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests.properties import given
from unified.schema.money import (
    MinorUnits,
    Money,
    exponent,
    from_minor_units,
    parse_amount,
    settle,
    to_minor_units,
)

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD", "ISK", "CLF", "EUR"])
MONEY: TypeAdapter[Decimal] = TypeAdapter(Money)


@pytest.mark.parametrize(
    ("amount", "currency", "digits", "expected"),
    [
        (1050, "USD", None, "10.50"),
        (-5, "EUR", None, "-0.05"),
        (500, "JPY", None, "500"),
        (12340, "KWD", None, "12.340"),
        (500, "ISK", 2, "5"),  # a provider that counts krónur in hundredths
        (505, "ISK", 2, "5.05"),  # finer than the coin: kept, not rounded
        (0, "USD", None, "0.00"),
    ],
)
def test_minor_units_become_exact_amounts(
    amount: int, currency: str, digits: int | None, expected: str
) -> None:
    assert str(from_minor_units(amount, currency, digits=digits)) == expected


@given(amount=st.integers(-(10**18), 10**18), currency=CURRENCIES)
def test_minor_units_survive_the_way_there_and_back(amount: int, currency: str) -> None:
    assert to_minor_units(from_minor_units(amount, currency), currency) == amount


def test_minor_units_must_be_integers() -> None:
    with pytest.raises(TypeError, match="integer"):
        from_minor_units(10.5, "USD")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="integer"):
        from_minor_units(True, "USD")  # noqa: FBT003 - what is refused


def test_an_amount_finer_than_a_cent_is_never_rounded_silently() -> None:
    with pytest.raises(ValueError, match="finer"):
        to_minor_units(Decimal("10.505"), "USD")


@given(amount=st.decimals(allow_nan=False, allow_infinity=False, places=6), currency=CURRENCIES)
def test_settling_an_amount_changes_how_it_is_written_and_not_what_it_is(
    amount: Decimal, currency: str
) -> None:
    assert settle(amount, currency) == amount


def test_an_amount_is_written_with_the_currencys_digits() -> None:
    assert str(settle(Decimal(5), "USD")) == "5.00"
    assert str(settle(Decimal("5.000"), "JPY")) == "5"
    assert str(settle(Decimal("5.001"), "USD")) == "5.001"
    assert exponent("XYZ") == 2


@pytest.mark.parametrize("text", ["12x", "NaN", "Infinity", "1,5", "--1"])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_amount(text, "USD")


@pytest.mark.parametrize("digits", ["1" * 29, "9" * 40, "1" * 27 + ".11", "0." + "1" * 29, "1" * 200])
def test_an_amount_of_29_digits_and_more_is_refused_everywhere(digits: str) -> None:
    with pytest.raises(ValueError, match="more than 28 digits"):
        parse_amount(digits, "USD")
    with pytest.raises(ValidationError, match="more than 28 digits"):
        MONEY.validate_python(Decimal(digits))
    with pytest.raises(ValueError, match="more than 28 digits"):
        to_minor_units(Decimal(digits), "USD")
    with pytest.raises(ValueError, match="more than 28 digits"):
        from_minor_units(int(digits.replace(".", "")), "USD")


def test_an_amount_of_28_digits_is_kept_exactly() -> None:
    most = "12345678901234567890123456.78"
    assert str(parse_amount(most, "USD")) == most
    assert str(from_minor_units(int(most.replace(".", "")), "USD")) == most
    assert str(MONEY.validate_python(most)) == most
    assert parse_amount("1e30", "USD") == Decimal(10**30)  # one digit, and zeros that nothing rounds


def test_missing_text_is_no_amount() -> None:
    assert parse_amount(None, "USD") is None
    assert parse_amount("", "USD") is None
    assert parse_amount("1234.5", "USD") == Decimal("1234.50")


@pytest.mark.parametrize("value", [1.5, float("nan"), "NaN", Decimal("Infinity")])
def test_money_is_never_a_float_nor_infinite(value: object) -> None:
    with pytest.raises(ValidationError):
        MONEY.validate_python(value)


def test_money_takes_decimals_integers_and_decimal_text() -> None:
    assert MONEY.validate_python(Decimal("1.10")) == Decimal("1.10")
    assert MONEY.validate_python(3) == Decimal(3)
    assert MONEY.validate_json('"1.10"') == Decimal("1.10")


def test_a_providers_minor_units_are_its_own() -> None:
    own, two = MinorUnits({"BHD": 2}), MinorUnits({"BHD": 2}, usual=2)
    assert [own.digits(code) for code in ("BHD", "JPY", "USD")] == [2, 0, 2]
    assert [two.digits(code) for code in ("BHD", "JPY", "USD")] == [2, 2, 2]
    assert str(own.amount(1050, "BHD")) == "10.500"
    assert str(two.amount(500, "JPY")) == "5"
    assert str(own.price("0.25", "USD")) == "0.0025"
    assert str(own.total([{"amount": 1}, {"amount": 99}], "USD")) == "1.00"
    assert str(own.total([], "USD")) == "0.00"
    assert own.amount(None, "USD") is own.price(None, "USD") is own.total(None, "USD") is None


def test_a_refusal_shows_the_amount() -> None:
    with pytest.raises(ValueError, match=r"^not a decimal amount: '12,5'$"):
        MinorUnits({}).price("12,5", "USD")
    with pytest.raises(TypeError, match=r"^minor units must be an integer, not '12\.50'$"):
        MinorUnits({}).amount("12.50", "USD")  # type: ignore[arg-type]
