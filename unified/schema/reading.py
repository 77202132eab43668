"""Reading values out of raw records: what the mappings of all systems do with text, times, numbers and addresses.

Pure, and total: a value, None where there is none, or a ValueError with the reason. What a record can do without is
read through :mod:`unified.schema.unusable`, so that the reason costs that field alone; elsewhere it makes the record a
reject. Money is read by :mod:`unified.schema.money`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from unified.schema.address import UnifiedAddress
from unified.schema.customer import check_email

_CODE_LETTERS = 3
_EXACT = (str, int, Decimal)


def text(value: str | None) -> str | None:
    """Text, or None for what is missing or empty."""
    return value or None


def first_of(raw: Mapping[str, Any], *names: str) -> Any:
    """The first of several fields that is not null: today's name, then older ones."""
    for name in names:
        value = raw.get(name)
        if value is not None:
            return value
    return None


def moment(value: str | float | None, *, per_second: int = 1) -> datetime | None:
    """A time; None where there is none.

    Args:
        value: ISO 8601, UTC where it names no zone; a date, which is midnight UTC; or Unix time, also as text.
        per_second: 1000 where Unix time counts milliseconds.

    Raises:
        ValueError: If it has another form.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if not value.lstrip("-").isdecimal():
            read = datetime.fromisoformat(value)
            return read if read.tzinfo else read.replace(tzinfo=UTC)
        value = int(value)
    elif isinstance(value, bool):
        raise ValueError("true and false are not times")  # noqa: TRY004 - see the module
    try:
        return datetime.fromtimestamp(value if per_second == 1 else value / per_second, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"not a time between the years 1 and 9999: {value}") from error


def number(value: str | int | Decimal | None) -> Decimal | None:
    """A decimal number; None where there is none.

    Raises:
        ValueError: If it is not one.
    """
    if value is None or value == "":
        return None
    try:
        read = Decimal(value if type(value) in _EXACT else str(value))
    except InvalidOperation as error:
        raise ValueError(f"not a decimal number: {value!r}") from error
    if not read.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return read


@lru_cache(maxsize=256)  # each record has one, and there are few
def currency(value: str | None) -> str | None:
    """An ISO 4217 code in upper case; None where there is none.

    Raises:
        ValueError: If it is not three letters.
    """
    code = (value or "").strip().upper()
    if code and not (len(code) == _CODE_LETTERS and code.isascii() and code.isalpha()):
        raise ValueError("a currency's code has three letters")
    return code or None


def joined(values: Iterable[str | None]) -> str | None:
    """Texts in one line, without those that are missing or empty; None where all are."""
    return " ".join(value for value in values if value) or None


def emails(values: Iterable[Any]) -> tuple[list[str], list[Any]]:
    """E-mail addresses, and what stands in their place and is not one.

    Args:
        values: As the source has them; those that are missing or empty are left out.

    Returns:
        The valid ones as :func:`unified.schema.customer.check_email` returns them, each once; the others as they are.
    """
    valid: list[str] = []
    invalid: list[Any] = []
    for value in values:
        if value and not isinstance(value, str):
            invalid.append(value)
        elif value and (stripped := value.strip()):
            try:
                found, fitting = check_email(stripped), valid
            except ValueError:
                found, fitting = stripped, invalid
            if found not in fitting:
                fitting.append(found)
    return valid, invalid


def address(parts: Mapping[str, str | None]) -> UnifiedAddress | None:
    """An address of the parts that are known, by the names of the model; None where none is."""
    known = {name: value for name, value in parts.items() if value}
    return UnifiedAddress(**known) if known else None
