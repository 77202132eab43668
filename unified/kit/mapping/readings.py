"""Values read in one way each: text, number, time, truth, an amount. Total: a value, None for none, or Refused.

What steps do with them is in ``transforms``; which of them a field of a model reads by itself is in ``targets``.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from unified.kit.mapping.refusals import Refused, kind
from unified.schema.money import MOST_DIGITS, exact, exponent, settle

_LONGEST_NUMBER = 100
_LARGEST_EXPONENT = 1000
_NOT_A_NUMBER = Decimal("NaN")
_WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# As WCF and OData 2 write a time: https://www.odata.org/documentation/odata-version-2-0/json-format/
_DOT_NET = re.compile(r"/Date\((-?[0-9]{1,17})(?:[+-][0-9]{4})?\)/")
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}

_BETWEEN_SECONDS_AND_MILLISECONDS = 20_000_000_000
"""A count since 1970 up to here is of seconds (until the year 2603), beyond it of milliseconds (since August 1970)."""


def text(value: Any) -> str | None:
    """Text of a text, a number by its digits, or true and false; None where it is empty."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return str(value) if abs(value.adjusted()) > MOST_DIGITS else format(value, "f")
    raise Refused(f"text was expected, not {kind(value)}")


def number(value: Any) -> Decimal | None:
    """A number by its digits, of a number or its text; None where there is none."""
    if isinstance(value, str):
        written = value.strip()
        return _decimal(written) if written else None
    if isinstance(value, Decimal):
        found = value
    elif isinstance(value, int) and not isinstance(value, bool):
        found = Decimal(value)
    elif value is None:
        return None
    elif isinstance(value, float):
        raise Refused("a double is not exact; records are decoded with the digits of their numbers")
    else:
        raise Refused(f"a number was expected, not {kind(value)}")
    if not found.is_finite():
        raise Refused("the number is not finite")
    return found


def _decimal(written: str) -> Decimal:
    """A number of text, as JSON and most others write it; Python would take more, such as ``1_000``."""
    if len(written) <= _LONGEST_NUMBER and written.isascii() and "_" not in written:
        try:
            found = Decimal(written)
        except InvalidOperation:
            found = _NOT_A_NUMBER
        if found.is_finite() and abs(found.adjusted()) <= _LARGEST_EXPONENT:
            return found
    raise Refused("a number was expected, not such text")


def amount(value: Any) -> Decimal | None:
    """An amount in whole units, as it is written."""
    found = number(value)
    return None if found is None else _kept(found)


def major_units(value: Any, currency: str | None) -> Decimal | None:
    """An amount in whole units, with its currency's digits where that loses nothing."""
    found = number(value)
    if found is None:
        return None
    return _kept(found) if currency is None else settle(_kept(found), currency)


def minor_units(value: Any, currency: str | None, digits: Mapping[str, int]) -> Decimal | None:
    """An amount of a count of minor units, which may have a fraction; the currency says how many make a whole one."""
    found = number(value)
    if found is None:
        return None
    if currency is None:
        raise Refused("minor units need the currency, and the record names none")
    own = digits.get(currency)
    return settle(_kept(found).scaleb(-(exponent(currency) if own is None else own)), currency)


def _kept(value: Decimal) -> Decimal:
    if not -MOST_DIGITS <= value.adjusted() <= MOST_DIGITS:
        raise Refused(f"an amount of more than {MOST_DIGITS} digits can't be kept exactly")
    try:
        return exact(value)
    except ValueError as error:
        raise Refused(str(error)) from None


def currency(value: Any) -> str | None:
    """An ISO 4217 code in upper case."""
    found = value if type(value) is str else text(value)
    return None if found is None else _code(found)


@lru_cache(maxsize=512)
def _code(written: str) -> str | None:
    code = written.strip().upper()
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):  # noqa: PLR2004 - ISO 4217's
        raise Refused("a currency's code has three letters")
    return code or None


def moment(value: Any, unit: Literal["s", "ms", "us"] | None = None, zone: tzinfo = UTC) -> datetime | None:
    """A time of ISO 8601, of ``/Date(ms)/``, or of a count since 1970.

    Args:
        value: Text or a number. A date is its midnight.
        unit: What a number counts; without it, seconds, or milliseconds where that is the only sensible reading.
        zone: Of a time that names none.
    """
    if type(value) is int:
        return _since_1970(value, unit)
    if isinstance(value, datetime):  # of a step before
        return value
    if isinstance(value, str):
        if _ISO.match(value):
            return _iso(value, zone)
        stripped = value.strip()
        if not stripped:
            return None
        if dot_net := _DOT_NET.fullmatch(stripped):
            return _since_1970(Decimal(dot_net[1]), "ms")
        if not (_WHOLE.fullmatch(stripped) and (unit or len(stripped) > 8)):  # noqa: PLR2004 - 20261128 is a date
            return _iso(stripped, zone)
    found = number(value)
    return None if found is None else _since_1970(found, unit)


def _iso(value: str, zone: tzinfo) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        return _placed(read, zone)
    except (ValueError, OverflowError):
        raise Refused("a time of ISO 8601 was expected, not such text; `date` reads other patterns") from None


def _since_1970(value: Decimal | int, unit: Literal["s", "ms", "us"] | None) -> datetime:
    if unit is None:
        is_large = not -_BETWEEN_SECONDS_AND_MILLISECONDS <= value <= _BETWEEN_SECONDS_AND_MILLISECONDS
        unit = "ms" if is_large else "s"
    try:
        return datetime.fromtimestamp(float(value if unit == "s" else value / _PER_SECOND[unit]), UTC)
    except (OverflowError, OSError, ValueError, ArithmeticError):
        raise Refused("the count since 1970 is not a time between the years 1 and 9999") from None


def date(value: Any, pattern: str, zone: tzinfo) -> datetime | None:
    """A time of text in a pattern of ``strptime``."""
    found = text(value)
    if found is None or not found.strip():
        return None
    try:
        return _placed(datetime.strptime(found.strip(), pattern), zone)  # noqa: DTZ007 - the next step names its zone
    except (ValueError, OverflowError):
        raise Refused(f"the time is not written as {pattern}") from None


def _placed(read: datetime, zone: tzinfo) -> datetime:
    if read.tzinfo or zone is UTC:
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    return read.replace(tzinfo=zone).astimezone(UTC)


def zone_of(name: str) -> tzinfo:
    """A time zone by its name in the IANA data base.

    Raises:
        ValueError: If there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"there is no time zone {name!r}; zones are named as Europe/Zurich") from None


_TRUE = frozenset(("true", "yes", "y", "on", "1"))
_FALSE = frozenset(("false", "no", "n", "off", "0"))


def boolean(value: Any, yes: frozenset[str] = _TRUE, no: frozenset[str] = _FALSE) -> bool | None:
    """True or false of those, of 1 and 0, or of words in any case."""
    if isinstance(value, bool):
        return value
    word = text(value)
    if word is None:
        return None
    word = word.strip().casefold()
    if word in yes or word in no:
        return word in yes
    raise Refused(f"true or false was expected, not such {'text' if isinstance(value, str) else 'a number'}")
