"""What a field's type and its samples say about what it may fill."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from unified.kit.mapping import readings
from unified.kit.mapping.refusals import UNREADABLE
from unified.kit.proposing.fields import ForeignField

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")
_PHONE = re.compile(r"[+()0-9./ \-]{4,30}(?:(?:ext|x)\.? ?[0-9]{1,6})?", re.IGNORECASE)
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_URL = re.compile(r"https?://", re.IGNORECASE)
_LONGEST_WORD = 60
_LONGEST_POSTCODE = 12
_YEARS = range(1970, 2101)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field of ours holds, as seen from outside.

    Attributes:
        types: How well each JSON type fits, 0 to 1; a type that is not named does not fit.
        holds: Whether one sample fits; None asks nothing of it.
    """

    types: dict[str, float]
    holds: Callable[[Any], bool] | None = None


def type_fit(kind: str, one: ForeignField) -> float:
    """How well a field's type and format fit, 0 to 1. A type that nobody said fits a little."""
    if one.type == "":
        return 0.85
    if one.items and kind not in ("lines", "list"):
        return 0.0  # its items' fields stand for themselves
    fit = KINDS[kind].types.get(one.type, 0.0)
    if one.format in _FORMATS:
        return fit if kind in _FORMATS[one.format] else 0.0
    if kind == "moment" and one.type == "string":
        return 0.9 * fit  # nothing says that it is a time but its name
    return fit


def sample_fit(kind: str, one: ForeignField) -> float | None:
    """The share of samples that may stand in such a field; None where there are none to look at."""
    holds = KINDS[kind].holds
    values = one.values()
    if holds is None or not values:
        return None
    return sum(map(holds, values)) / len(values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and any(letter.isalpha() for letter in value)
        and not _EMAIL.fullmatch(value)
        and not _URL.match(value)
        and not _is_time_text(value)
    )


def _is_moment(value: Any) -> bool:
    try:
        found = readings.moment(value)
    except UNREADABLE:
        return isinstance(value, str) and _is_time_text(value)
    return found is not None and found.year in _YEARS and not (isinstance(value, int) and value < 10**8)


def _is_time_text(value: str) -> bool:
    return bool(re.match(r"\d{4}[-/]\d\d?[-/]\d\d?|\d\d?[./-]\d\d?[./-]\d{4}|/Date\(", value))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int | float | Decimal):
        return True
    return isinstance(value, str) and bool(re.fullmatch(r"[+-]?[0-9][0-9.,' ]{0,30}", value.strip()))


def _is_id(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and " " not in value.strip())


def _is_word(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, str) and len(value) <= _LONGEST_WORD and not _URL.match(value)


def _is_truth(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return value in (0, 1)
    return isinstance(value, str) and value.strip().casefold() in _TRUTHS


def _is_digits(value: Any) -> bool:
    return _is_id(value) or (_is_word(value) and any(map(str.isdigit, value)))


def _is_postcode(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and len(value.strip()) <= _LONGEST_POSTCODE)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value.strip()) is not None


def _is_phone(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or _matches(_PHONE)(value)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and bool(_URL.match(value))


ACTIVE = frozenset(("active", "enabled", "subscribed", "open", "current", "live"))
INACTIVE = frozenset(
    ("inactive", "disabled", "archived", "deleted", "closed", "suspended", "unsubscribed", "removed")
)
"""The words of a status that says whether a record is in use."""

_TRUTHS = (
    ACTIVE | INACTIVE | frozenset(("true", "false", "yes", "no", "y", "n", "1", "0", "on", "off", "test"))
)

KINDS = {
    "id": Kind({"string": 1.0, "integer": 1.0, "number": 0.7}, _is_id),
    "text": Kind({"string": 1.0, "integer": 0.4, "number": 0.3}, _is_text),
    "name": Kind({"string": 1.0}, _is_name),
    "digits": Kind({"string": 1.0, "integer": 0.95, "number": 0.7}, _is_digits),
    "postcode": Kind({"string": 1.0, "integer": 0.95}, _is_postcode),
    "phone": Kind({"string": 1.0, "integer": 0.8, "array": 0.8}, _is_phone),
    "email": Kind({"string": 1.0, "array": 0.8}, _matches(_EMAIL)),
    "currency": Kind({"string": 1.0}, _matches(_CURRENCY)),
    "url": Kind({"string": 1.0}, _is_url),
    "moment": Kind({"string": 1.0, "integer": 0.95, "number": 0.9}, _is_moment),
    "money": Kind({"number": 1.0, "integer": 1.0, "string": 0.9}, _is_number),
    "number": Kind({"number": 1.0, "integer": 1.0, "string": 0.8}, _is_number),
    "count": Kind({"integer": 1.0, "string": 0.6, "number": 0.7}, _is_number),
    "bool": Kind({"boolean": 1.0, "integer": 0.7, "string": 0.85}, _is_truth),
    "word": Kind({"string": 1.0, "integer": 0.7}, _is_word),
    "list": Kind({"array": 1.0, "string": 0.75}),
    "lines": Kind({"array": 1.0}),
    "object": Kind({"object": 1.0}),
}

_FORMATS = {
    "date-time": {"moment"}, "date": {"moment"}, "timestamp": {"moment"}, "unix-time": {"moment"},
    "unix-timestamp": {"moment"}, "email": {"email"}, "uri": {"url"}, "url": {"url"}, "uuid": {"id"},
}  # fmt: skip
"""What a format leaves possible, whatever the type."""
