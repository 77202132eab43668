"""Stripe's amounts: integers in a minor unit whose digits are Stripe's own, not ISO 4217's.

See https://docs.stripe.com/currencies (zero-decimal and three-decimal currencies, special cases).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from unified.schema.money import exact, from_minor_units, settle

# Digits of Stripe's minor unit where they are not two, and two wherever ISO 4217 says otherwise: ISK and
# UGX have no coin smaller than 1, yet Stripe counts them in hundredths that are always 00.
_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL = "BHD JOD KWD OMR TND"
_TWO_DECIMAL_AT_STRIPE = "CLF IQD ISK LYD UGX UYI UYW"
MINOR_UNITS = {
    **dict.fromkeys(_ZERO_DECIMAL.split(), 0),
    **dict.fromkeys(_THREE_DECIMAL.split(), 3),
    **dict.fromkeys(_TWO_DECIMAL_AT_STRIPE.split(), 2),
}


def digits(currency: str) -> int:
    """Digits of the minor unit in which Stripe counts a currency.

    Args:
        currency: ISO 4217 code in upper case.
    """
    return MINOR_UNITS.get(currency, 2)


def amount(minor_units: int | None, currency: str) -> Decimal | None:
    """An amount in whole currency units, or None where Stripe states none.

    Args:
        minor_units: Stripe's integer, for example 1050 for 10.50 USD.
        currency: ISO 4217 code in upper case.
    """
    return None if minor_units is None else from_minor_units(minor_units, currency, digits=digits(currency))


def amount_sum(parts: Iterable[dict[str, Any]] | None, currency: str) -> Decimal | None:
    """The sum of a list of taxes or discounts, each with its ``amount``; None where there is no list."""
    return None if parts is None else amount(sum(part["amount"] for part in parts), currency)


def unit_amount(text: str | int | None, currency: str) -> Decimal | None:
    """A price for one unit, which may be finer than the minor unit (``unit_amount_decimal``).

    Args:
        text: Count of minor units as decimal text, for example ``"0.25"`` for a quarter of a cent.
        currency: ISO 4217 code in upper case.
    """
    return None if text is None else settle(exact(Decimal(str(text))).scaleb(-digits(currency)), currency)
