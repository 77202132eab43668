"""The filters, methods and tests that expressions may use; nothing else can be called.

Names and meanings are Jinja's and Python's where they exist. A filter ``f`` of ``{{ x | f(a) }}`` and a method of
``{{ x.f(a) }}`` are called with the value first.
"""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from unified.kit.mapping.expressions.limits import items_of, text_of
from unified.kit.mapping.expressions.operators import concatenate, member, number, text
from unified.kit.mapping.expressions.times import written
from unified.kit.mapping.refusals import Refused, kind

Function = Callable[..., Any]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"the expression takes {kind(value)} for text")
    text_of(len(value))
    return value


def _replace(value: Any, old: Any, new: Any) -> str:
    found, old, new = _string(value), _string(old), _string(new)
    text_of(len(found) + found.count(old) * (len(new) - len(old)))
    return found.replace(old, new)


def _split(value: Any, by: Any = None, most: Any = -1) -> list[str]:
    found = _string(value)
    by = None if by is None else _string(by)
    if by == "" or not isinstance(most, int):
        raise Refused("the expression splits by empty text")
    items_of((len(found.split(None)) if by is None else found.count(by) + 1) if most < 0 else most)
    return found.split(by, most)


def _join(value: Any, by: Any = "") -> str:
    if not isinstance(value, list):
        raise Refused(f"the expression joins {kind(value)}")
    items_of(len(value))
    parts, between = [text(one) for one in value], _string(by)
    text_of(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


def _default(value: Any, default: Any = "", instead_of_false: Any = None) -> Any:
    return default if value is None or (instead_of_false and not value) else value


def _integer(value: Any, default: Any = None) -> Any:
    try:
        return int(_decimal(value))
    except Refused:
        if default is None:
            raise
        return default


def _decimal(value: Any, default: Any = None) -> Any:
    try:
        return number(Decimal(value.strip()) if isinstance(value, str) and value.isascii() else value)
    except ArithmeticError:
        if default is None:
            raise Refused("the expression takes text for a number") from None
        return default


def _round(value: Any, digits: Any = 0) -> Any:
    if not isinstance(digits, int) or not 0 <= digits <= 10:  # noqa: PLR2004 - more than any currency has
        raise Refused("the expression rounds to other than 0 to 10 digits")
    return Decimal(number(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def _length(value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    if value is None:
        return 0
    raise Refused(f"the expression counts {kind(value)}")


def _trim(value: Any, characters: Any = None) -> str:
    return _string(value).strip(None if characters is None else _string(characters))


def _affix(value: Any, name: str, one: Any) -> bool:
    found = _string(value)
    return found.startswith(_string(one)) if name == "startswith" else found.endswith(_string(one))


def _strftime(value: Any, form: Any) -> str:
    if not isinstance(value, date) or not isinstance(form, str):
        raise Refused("the expression writes as a time what is none")
    return written(value, form)


FILTERS: Mapping[str, Function] = {
    "abs": lambda value: abs(number(value)),
    "count": _length,
    "d": _default,
    "default": _default,
    "first": lambda value: member(value, 0),
    "float": _decimal,
    "int": _integer,
    "join": _join,
    "last": lambda value: member(value, -1),
    "length": _length,
    "lower": lambda value: text(value).lower(),
    "replace": _replace,
    "round": _round,
    "split": _split,
    "string": lambda value: concatenate([value]),
    "trim": _trim,
    "upper": lambda value: text(value).upper(),
}

METHODS: Mapping[str, Function] = {
    "endswith": lambda value, one: _affix(value, "endswith", one),
    "get": lambda value, key, default=None: _default(member(value, key), default),
    "isdigit": lambda value: _string(value).isdecimal(),
    "lower": lambda value: _string(value).lower(),
    "lstrip": lambda value, characters=None: _string(value).lstrip(characters),
    "replace": _replace,
    "rstrip": lambda value, characters=None: _string(value).rstrip(characters),
    "split": _split,
    "startswith": lambda value, one: _affix(value, "startswith", one),
    "strftime": _strftime,
    "strip": _trim,
    "upper": lambda value: _string(value).upper(),
}

TESTS: Mapping[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: value is not None,
    "mapping": lambda value: isinstance(value, dict),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float | Decimal) and not isinstance(value, bool),
    "sequence": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: value is None,
}
