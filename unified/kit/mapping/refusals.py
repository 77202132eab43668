"""The two ways in which a rule fails: it can't work at all, or it can't read one value."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from unified.kit.errors import ConfigurationError

UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What reading a value of a form that nobody expected ends in."""


class RuleError(ConfigurationError):
    """A rule that can't work: it is refused before it is stored. The message says which rule and which part."""


class Refused(ValueError):  # noqa: N818 - it is the outcome of one value, not a fault of the program
    """A value that a rule can't read, with the reason. The reason never quotes the value, which may be personal."""


def kind(value: Any) -> str:
    """What a JSON value is, for a reason: ``text``, ``a number``, ``a list``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text" if value else "empty text"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, date | timedelta):
        return "a time"
    return "a list" if isinstance(value, list | tuple) else "an object"


def because(error: BaseException) -> str:
    """Why a value was refused, in words that quote nothing of it."""
    return str(error) if isinstance(error, Refused) else f"its form is not expected ({type(error).__name__})"
