"""What an expression may cost, and its one way to fail.

A result, and each text, list or number on the way to it, is held to a size before it is made, so that an expression
costs at most its number of nodes times that size.
"""

from datetime import date, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any

from unified.kit.mapping.expressions.times import text_of_time
from unified.kit.mapping.refusals import Refused
from unified.schema.money import MOST_DIGITS

MOST_NODES = 200
MOST_TEXT = 64 * 1024
"""Characters of a text, and of all texts of a result together."""
MOST_ITEMS = 10_000

# Each number on the way is held against it, and the power takes longer than most operations.
_TOO_LARGE = 10**MOST_DIGITS

EXACTLY = Context(prec=MOST_DIGITS, traps=[InvalidOperation, Overflow, Inexact])
"""For sums and products, which are exact or refused."""
ROUNDED = Context(prec=MOST_DIGITS, traps=[InvalidOperation, Overflow])
"""For quotients, which may have no end."""


def text_of(length: int) -> None:
    """Refuse a text before it is made.

    Raises:
        Refused: If it would have more than :data:`MOST_TEXT` characters.
    """
    if length > MOST_TEXT:
        raise Refused(f"the expression makes text of more than {MOST_TEXT:,} characters")


def items_of(count: int) -> None:
    """Refuse a list before it is made.

    Raises:
        Refused: If it would have more than :data:`MOST_ITEMS` items.
    """
    if count > MOST_ITEMS:
        raise Refused(f"the expression makes a list of more than {MOST_ITEMS:,} items")


def number_of(value: int | Decimal) -> int | Decimal:
    """A number, if it has no more digits than a Decimal keeps.

    Raises:
        Refused: If it has more, or is not finite.
    """
    if isinstance(value, int):
        if -_TOO_LARGE < value < _TOO_LARGE:
            return value
    elif (
        value.is_finite()
        and len(value.as_tuple().digits) <= MOST_DIGITS
        and abs(value.adjusted()) <= MOST_DIGITS
    ):
        return value
    raise Refused(f"the expression has a number of more than {MOST_DIGITS} digits")


def result_of(value: Any) -> Any:
    """A result, if all of it together is small enough. A time is its text.

    Raises:
        Refused: If its texts have more than :data:`MOST_TEXT` characters, or it has more than :data:`MOST_ITEMS` parts.
    """
    if isinstance(value, str):
        text_of(len(value))
    elif isinstance(value, list | dict):
        _measure(value)
    elif isinstance(value, date):
        return text_of_time(value)
    elif isinstance(value, timedelta):
        raise Refused("the expression gives a duration, which is no value; add it to a time")
    return value


def _measure(value: Any) -> None:
    length = count = 0
    waiting: list[Any] = [(value,)]
    while waiting:
        for one in waiting.pop():
            count += 1
            items_of(count)
            if isinstance(one, str):
                length += len(one)
                text_of(length)
            elif isinstance(one, date | timedelta):
                raise Refused("the expression puts a time into a list; write it as text")
            elif isinstance(one, list):
                waiting.append(one)
            elif isinstance(one, dict):
                waiting += [one.keys(), one.values()]
