"""From a raw record's text to what mappings take, and the words for what is wrong with one.

Not here: the mappings (each adapter's), and JSON that breaks a rule (``broken_json``).
"""

import threading
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from unified.kit.errors import MappingError


def decode_record(body: bytes | memoryview) -> Any:
    """Decode a raw record as adapters' mappings take it: without U+0000, which no column keeps.

    Raises:
        MappingError: If it is not JSON.
    """
    try:
        raw = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        try:
            raw = _LENIENT.decode(body)
        except (ValueError, RecursionError) as error:
            raise unexpected(error) from error
    return _without_nul(raw) if _has_nul(body) else raw


def decode_exactly(body: bytes | memoryview) -> Any:
    """Decode a raw record as rules take it: as :func:`decode_record`, and each fraction a Decimal of its very digits.

    Raises:
        MappingError: If it is not JSON.
    """
    _last.record, _last.has_fractions = None, False
    try:
        raw = _EXACT.decode(body)
    except (ValueError, RecursionError) as error:
        raise unexpected(error) from error
    _last.record = _without_nul(raw) if _has_nul(body) else raw
    return _last.record


def lacks_fractions(record: Any) -> bool:
    """Whether a record is the last one that this thread decoded exactly, and no Decimal is in it.

    Looking through a record for one takes as long as all the rest of a short mapping.
    """
    return _last.record is record and not _last.has_fractions


class _Last(threading.local):
    """What a thread decoded last.

    Attributes:
        record: The record, until the next one is decoded in its place.
        has_fractions: Whether a number in it has a fraction.
    """

    record: Any = None
    has_fractions = True


_last = _Last()


def says_the_same(one: bytes | memoryview, other: bytes | memoryview) -> bool:
    """Whether two raw records say the same, so that no mapping could distinguish them.

    Keys may come in any order, with any white space, and a number may be written in two ways (1.5 and 1.50). Text is
    never taken for a number: a provider that states money as text states its digits as well.
    """
    if one[:_BEGINNING] != other[:_BEGINNING]:
        compact = _compact(one)
        if compact is not None and compact == _compact(other):
            return True
    try:
        said, also = decode_record(one), decode_record(other)
    except MappingError:
        return False
    # Most often they do not, which is seen at once. What Python takes for equal may differ still: 1, 1.0 and true.
    return said == also and _CANONICAL.encode(said) == _CANONICAL.encode(also)


def _compact(body: bytes | memoryview) -> bytes | None:
    """The text without its white space, which takes a third of decoding it; None where it is not JSON."""
    try:
        return msgspec.json.format(bytes(body), indent=-1)
    except (ValueError, RecursionError):
        return None


def _has_nul(body: bytes | memoryview) -> bool:
    """Whether U+0000 may stand in a text. A lone backslash is found far sooner than the escape, and most have none."""
    text = bytes(body)
    return b"\\" in text and b"\\u0000" in text


def _number(digits: str) -> float | str:
    """A number of JSON; the text of one that is too large, which only the field that has it fails to read."""
    value = float(digits)
    return value if isfinite(value) else digits


def _decimal(digits: str) -> Decimal | str:
    """A number of JSON by its digits; the text of one whose exponent no Decimal has."""
    _last.has_fractions = True
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits


# Bytes that show how a record is laid out: it begins with a brace, white space or none, and the same key. Of two that
# are laid out alike, white space is not what differs.
_BEGINNING = 16
_CANONICAL = msgspec.json.Encoder(order="deterministic")
_LENIENT = msgspec.json.Decoder(float_hook=_number)
_EXACT = msgspec.json.Decoder(float_hook=_decimal)


def unexpected(error: Exception) -> MappingError:
    """What the failure of a mapping is that nobody foresaw."""
    return MappingError(f"the record has an unexpected form: {error}")


FAULTS = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError)
"""What a mapping may raise for a record of an odd form; pydantic's error is a ValueError."""


def refused(error: Exception) -> MappingError:
    """Why a record can't be mapped; the reason may quote the value at fault, no more."""
    match error:
        case MappingError():
            return error
        case ValidationError():
            return MappingError(describe_faults(error))
        case KeyError():
            return MappingError(f"the record lacks {error}")
    return unexpected(error)


def describe_faults(error: ValidationError) -> str:
    """What a model refuses, field by field, without the values, which may be personal or secret."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {reason(fault)}" for fault in faults)


def reason(fault: ErrorDetails) -> str:
    """Why a model refuses a value, without pydantic's own words before ours."""
    return fault["msg"].removeprefix("Value error, ")


def _without_nul(value: Any) -> Any:
    """PostgreSQL's text can't hold U+0000. The raw record keeps it; the unified one does without."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
