"""Exact money: decimals, never floats, in the currency's real number of digits.

Providers write amounts in their own ways (integer minor units, decimal strings). Their rules live with their
adapters; what a currency itself is lives here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

# ISO 4217 minor-unit digits that differ from two (https://www.iso.org/iso-4217-currency-codes.html).
_ISO_EXPONENTS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(),  # noqa: SIM905 - a list to read
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}

_USUAL_DIGITS = 2

# As many digits as a Decimal keeps through arithmetic. What has more would be rounded by the first sum.
MOST_DIGITS = 28
_plus = Context(prec=MOST_DIGITS, traps=[InvalidOperation]).plus
_TOO_MUCH = 10**MOST_DIGITS
_INEXACT = f"an amount of more than {MOST_DIGITS} digits can't be kept exactly"

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code, upper case.")]


def exponent(currency: str) -> int:
    """Digits after the decimal point of a currency's smallest coin.

    Args:
        currency: ISO 4217 code in upper case.

    Returns:
        0 for JPY, 2 for USD, 3 for KWD; 2 for a code that ISO 4217 does not list otherwise.
    """
    return _ISO_EXPONENTS.get(currency, _USUAL_DIGITS)


@lru_cache(maxsize=64)
def _unit(digits: int) -> Decimal:
    return Decimal(1).scaleb(-digits)


def from_minor_units(amount: int, currency: str, *, digits: int | None = None) -> Decimal:
    """Turn an integer count of minor units into an exact amount in whole currency units.

    Args:
        amount: Count of minor units, for example 1050 cents. May be negative.
        currency: ISO 4217 code in upper case.
        digits: How many digits the provider's minor unit has where that differs from the currency's own
            (Stripe counts ISK in hundredths). Defaults to the currency's own.

    Returns:
        The amount with at least the currency's own digits: ``Decimal("10.50")``. An amount finer than the
        currency's coin keeps all its digits, so nothing is ever rounded away.

    Raises:
        TypeError: If ``amount`` is not an integer; a float can't be exact.
        ValueError: If it has more than :data:`MOST_DIGITS` digits.
    """
    if type(amount) is not int:
        msg = f"minor units must be an integer, not {amount!r:.40}"
        raise TypeError(msg)
    if not -_TOO_MUCH < amount < _TOO_MUCH:
        raise ValueError(_INEXACT)
    own = _ISO_EXPONENTS.get(currency, _USUAL_DIGITS)
    value = Decimal(amount).scaleb(-(own if digits is None else digits))
    return settle(value, currency) if digits is not None and digits != own else value


def to_minor_units(amount: Decimal, currency: str, *, digits: int | None = None) -> int:
    """Turn an exact amount into an integer count of minor units; the inverse of :func:`from_minor_units`.

    Args:
        amount: Amount in whole currency units.
        currency: ISO 4217 code in upper case.
        digits: As for :func:`from_minor_units`.

    Returns:
        The count of minor units.

    Raises:
        ValueError: If the amount has a part finer than one minor unit; rounding is the caller's decision.
    """
    scaled = exact(amount).scaleb(exponent(currency) if digits is None else digits)
    if scaled != scaled.to_integral_value():
        msg = f"{amount} {currency} is finer than one minor unit"
        raise ValueError(msg)
    return int(scaled)


def settle(amount: Decimal, currency: str) -> Decimal:
    """Write an amount with the currency's own number of digits where that loses nothing.

    Args:
        amount: Amount in whole currency units.
        currency: ISO 4217 code in upper case.

    Returns:
        ``Decimal("5")`` for 5.00 JPY, ``Decimal("5.00")`` for 5 USD; an amount that has a finer part unchanged.
    """
    coin = _unit(exponent(currency))
    if amount.same_quantum(coin):
        return amount
    with localcontext(prec=60):
        quantized = amount.quantize(coin, rounding=ROUND_HALF_EVEN)
    return quantized if quantized == amount else amount


def exact(amount: Decimal) -> Decimal:
    """The same amount, if arithmetic leaves it as it is.

    Raises:
        ValueError: If it has more than :data:`MOST_DIGITS` digits: it would be rounded silently.
    """
    if _plus(amount) != amount:
        raise ValueError(_INEXACT)
    return amount


@dataclass(frozen=True, slots=True)
class MinorUnits:
    """How a provider counts money: integers in a minor unit whose digits are its own, not always ISO 4217's.

    Attributes:
        known: Digits of that unit by ISO 4217 code in upper case, where they are not the usual ones.
        usual: Digits for all other currencies; None for each currency's own.
    """

    known: Mapping[str, int]
    usual: int | None = None

    def digits(self, currency: str) -> int:
        """Digits of the minor unit in which a currency is counted."""
        return self.known.get(currency, exponent(currency) if self.usual is None else self.usual)

    def amount(self, units: int | None, currency: str) -> Decimal | None:
        """An amount in whole currency units, for example 10.50 USD of 1050; None where there is none."""
        return None if units is None else from_minor_units(units, currency, digits=self.digits(currency))

    def total(self, parts: Iterable[Mapping[str, Any]] | None, currency: str) -> Decimal | None:
        """The sum of a list of taxes or discounts, each with its ``amount``; None where there is no list."""
        return None if parts is None else self.amount(sum([part["amount"] for part in parts]), currency)

    def price(self, units: str | int | None, currency: str) -> Decimal | None:
        """A price for one thing, which may be finer than the minor unit: ``"0.25"`` for a quarter of a cent."""
        if units is None:
            return None
        return settle(exact(_decimal(str(units))).scaleb(-self.digits(currency)), currency)


def parse_amount(text: str | None, currency: str) -> Decimal | None:
    """Read a provider's decimal text exactly.

    Args:
        text: For example ``"1050.5"``; ``None`` and the empty string mean that there is no amount.
        currency: ISO 4217 code in upper case, for the number of digits.

    Returns:
        The amount, or ``None``.

    Raises:
        ValueError: If the text is not a finite decimal number, or has more than :data:`MOST_DIGITS` digits.
    """
    if text is None or text == "":
        return None
    return settle(exact(_decimal(text)), currency)


def _decimal(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"not a decimal amount: {text!r:.40}") from error
    if not amount.is_finite():
        raise ValueError(f"not a finite amount: {text!r}")
    return amount


def _exact_input(amount: object) -> object:
    if type(amount) is Decimal:
        if amount.is_finite() and _plus(amount) != amount:
            raise ValueError(_INEXACT)
        return amount
    if isinstance(amount, float):
        msg = "money must be a Decimal, an integer or decimal text; a float is not exact"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a validation error
    if isinstance(amount, int | str):
        try:
            return _exact_input(Decimal(amount))
        except InvalidOperation:
            return amount  # pydantic says what is wrong with it
    return amount


# One function for all that is asked of an amount: a record has dozens, and each call from pydantic into Python costs as
# much as all else that is done with one. Pydantic's Decimal refuses infinity and NaN by itself.
Money = Annotated[
    Decimal,
    BeforeValidator(_exact_input),
    Field(description="Exact amount in whole currency units, never a float."),
]
