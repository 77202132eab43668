"""What expressions do with JSON values: arithmetic, comparison, joining, looking up. Each is total: a value or Refused.

Numbers are integers and decimals, never doubles; times are moved by spans. Null and what is missing are the same.
"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from unified.kit.mapping.expressions.limits import EXACTLY, ROUNDED, items_of, number_of, text_of
from unified.kit.mapping.expressions.times import text_of_time
from unified.kit.mapping.refusals import Refused, kind


def number(value: Any) -> int | Decimal:
    """A number of JSON.

    Raises:
        Refused: If it is something else.
    """
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return number_of(value)
    if isinstance(value, float):
        return number_of(Decimal(repr(value)))
    raise Refused(f"the expression calculates with {kind(value)}")


def text(value: Any) -> str:
    """The text of a text, a number, true and false (as JSON writes them) or null, which is empty.

    Raises:
        Refused: If it is a list or an object, or longer than a text may be.
    """
    if isinstance(value, str):
        text_of(len(value))
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return text_of_time(value)
    if isinstance(value, list | dict | timedelta):
        raise Refused(f"the expression takes {kind(value)} for text")
    return format(number(value), "d" if isinstance(value, int) else "f")


def add(left: Any, right: Any) -> Any:
    """The sum of numbers; texts or lists one after the other."""
    if isinstance(left, str) and isinstance(right, str):
        text_of(len(left) + len(right))
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        items_of(len(left) + len(right))
        return left + right
    if isinstance(left, date | timedelta) and isinstance(right, timedelta):
        return left + right
    return number_of(
        EXACTLY.add(number(left), number(right)) if _is_decimal(left, right) else number(left) + number(right)
    )


def subtract(left: Any, right: Any) -> Any:
    """The difference of numbers; a time or a span before."""
    if isinstance(left, date | timedelta) and isinstance(right, timedelta):
        return left - right
    if _is_decimal(left, right):
        return number_of(EXACTLY.subtract(number(left), number(right)))
    return number_of(number(left) - number(right))


def multiply(left: Any, right: Any) -> Any:
    """The product of numbers. Text is never repeated."""
    if _is_decimal(left, right):
        return number_of(EXACTLY.multiply(number(left), number(right)))
    return number_of(number(left) * number(right))


def divide(left: Any, right: Any) -> Any:
    """The quotient, rounded to 28 digits where it has no end; the divisor is not zero."""
    return number_of(ROUNDED.divide(number(left), _divisor(right)))


def floor_divide(left: Any, right: Any) -> Any:
    """How often one whole number is in another, rounded down."""
    return number_of(_whole(left) // _whole(_divisor(right)))


def remainder(left: Any, right: Any) -> Any:
    """What is left of a whole number; never a format, as Python's ``%`` of text."""
    return number_of(_whole(left) % _whole(_divisor(right)))


def negative(value: Any) -> Any:
    """The negative number."""
    return -number(value)


def concatenate(values: list[Any]) -> str:
    """The texts of values, one after the other."""
    parts = [text(value) for value in values]
    text_of(sum(map(len, parts)))
    return "".join(parts)


def member(value: Any, key: Any) -> Any:
    """What an object has under a key, or a list or a text at an index; None where there is nothing."""
    if isinstance(value, dict):
        return value.get(key) if isinstance(key, str) else None
    if isinstance(value, list | str) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return None


def part(value: Any, start: Any, stop: Any, step: Any) -> Any:
    """A part of a list or a text."""
    if value is None:
        return None
    if not isinstance(value, list | str) or not all(
        one is None or isinstance(one, int) for one in (start, stop, step)
    ):
        raise Refused(f"the expression takes a part of {kind(value)}")
    return value[start:stop:step]


def is_in(left: Any, right: Any) -> bool:
    """Whether a list has an item, an object a key, or a text a text."""
    if isinstance(right, dict | str):
        return isinstance(left, str) and left in right
    return isinstance(right, list) and any(is_equal(left, one) for one in right)


def is_equal(left: Any, right: Any) -> bool:
    """Whether two values are the same; 1 is not true, and 1 is 1.0."""
    return bool(isinstance(left, bool) == isinstance(right, bool) and left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        if isinstance(left, str | date) and isinstance(right, str | date) and type(left) is type(right):
            return compare(left, right)
        return compare(number(left), number(right))

    return ordered


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": is_equal,
    "ne": lambda left, right: not is_equal(left, right),
    "lt": _ordered(lambda left, right: left < right),
    "lteq": _ordered(lambda left, right: left <= right),
    "gt": _ordered(lambda left, right: left > right),
    "gteq": _ordered(lambda left, right: left >= right),
    "in": is_in,
    "notin": lambda left, right: not is_in(left, right),
}


def _is_decimal(left: Any, right: Any) -> bool:
    return not (isinstance(left, int) and isinstance(right, int))


def _whole(value: Any) -> int:
    found = number(value)
    if found != int(found):
        raise Refused("the expression divides with // or % what is not a whole number")
    return int(found)


def _divisor(value: Any) -> int | Decimal:
    found = number(value)
    if not found:
        raise Refused("the expression divides by zero")
    return found
