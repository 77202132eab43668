"""Steps compiled to functions: each takes a value with its item and record, and gives a value, None or Refused.

Null passes through a step untouched, but for those in :data:`TAKE_NULL`. What a field reads by itself comes after the
last step (``targets``).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from unified.kit.mapping import readings, steps
from unified.kit.mapping.paths import MOST_FOUND, Read, compile_path
from unified.kit.mapping.refusals import UNREADABLE, Refused, RuleError, because, kind

Step = Callable[[Any, Any, Any], Any]
"""Takes the value, the item and the record."""

_WRITTEN = msgspec.json.Encoder(decimal_format="number")

TAKE_NULL = (steps.FirstOf, steps.Collect, steps.Constant, steps.Default, steps.Template)
_A_COUNT = 18
"""Digits of text that is a count, not a number of another kind."""
NAMES = ("value", "item", "record")
"""What expressions of rules may name."""


class PartlyRefused(Refused):
    """Some items of a list were refused.

    Attributes:
        value: The list without them.
    """

    def __init__(self, reason: str, value: list[Any]) -> None:
        super().__init__(reason)
        self.value = value


def compile_steps(read: Read, declared: Sequence[steps.Known]) -> Read:
    """A source with its steps as one function of item and record.

    Raises:
        RuleError: If a step can't work; the message begins with its place and word.
    """
    compiled: list[tuple[bool, Step]] = []
    for place, step in enumerate(declared, 1):
        try:
            compiled.append((isinstance(step, TAKE_NULL), _COMPILERS[type(step)](step)))
        except (RuleError, ValueError) as error:
            raise RuleError(f"step {place} ({step.do}): {error}") from None
    if not compiled:
        return read
    if len(compiled) == 1:
        ((takes_null, only),) = compiled

        def once(item: Any, record: Any) -> Any:
            value = read(item, record)
            return only(value, item, record) if takes_null or value is not None else None

        return once

    def run(item: Any, record: Any) -> Any:
        value = read(item, record)
        for takes_null, step in compiled:
            if takes_null or value is not None:
                value = step(value, item, record)
        return value

    return run


def _plain(function: Callable[[Any], Any]) -> Callable[[Any], Step]:
    """The compiler of a step without settings."""
    return lambda _declared: lambda value, _item, _record: function(value)


def _expects_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"text was expected, not {kind(value)}; the step `text` makes it of numbers")
    return value


def items_of(value: Any) -> list[Any]:
    """The items of a list.

    Raises:
        Refused: If it is something else.
    """
    if not isinstance(value, list):
        raise Refused(f"a list was expected, not {kind(value)}")
    return value


def _is_empty(value: Any) -> bool:
    """Whether there is nothing. Steps that ask it of each key or path write it out: a call adds half to their time."""
    return value is None or value == ""


def _number(step: steps.Number) -> Step:
    if step.decimal == step.grouping or step.grouping.isalnum():
        raise ValueError("`grouping` is a sign other than `decimal`, not a letter or a digit")

    def convert(value: Any, _item: Any, _record: Any) -> Any:
        if isinstance(value, str):
            written = value.replace(step.grouping, "") if step.grouping else value
            value = (
                written.replace(step.decimal, ".") if step.decimal != "." and "." not in written else written
            )
        return readings.number(value)

    return convert


def _money(step: steps.Money) -> Step:
    if (step.currency is None) == (step.code is None) and (step.unit == "minor" or step.code):
        raise ValueError("say where the currency stands (`currency`), or which it is (`code`)")
    where = None if step.currency is None else compile_path(step.currency)
    digits, fixed = dict(step.digits), step.code
    if step.unit == "minor":

        def minor(value: Any, item: Any, record: Any) -> Any:
            code = fixed if where is None else readings.currency(where(item, record))
            return readings.minor_units(value, code, digits)

        return minor

    def major(value: Any, item: Any, record: Any) -> Any:
        code = fixed if where is None else readings.currency(where(item, record))
        return readings.major_units(value, code)

    return major


def _date(step: steps.Date) -> Step:
    zone, pattern = readings.zone_of(step.zone), step.format
    try:
        datetime.strptime(datetime(2026, 11, 28).strftime(pattern), pattern)  # noqa: DTZ001, DTZ007 - only tried
    except ValueError:
        raise ValueError("`format` is not a pattern of strptime such as %d.%m.%Y") from None
    return lambda value, _item, _record: readings.date(value, pattern, zone)


def _moment(step: steps.Moment) -> Step:
    zone, unit = readings.zone_of(step.zone), step.unit
    return lambda value, _item, _record: readings.moment(value, unit, zone)


def _boolean(step: steps.Boolean) -> Step:
    yes, no = (frozenset(word.casefold() for word in words) for words in (step.yes, step.no))
    if yes & no:
        raise ValueError(f"{min(yes & no)!r} stands under both `yes` and `no`")
    return lambda value, _item, _record: readings.boolean(value, yes, no)


def _not(value: Any) -> Any:
    return not readings.boolean(value)


def _enum(step: steps.Enum) -> Step:
    exact = dict(step.table)
    folded = {key.casefold(): value for key, value in exact.items()}
    if len({key.casefold(): 0 for key in exact}) < len(exact):
        raise ValueError("two keys of the table differ in case only")
    has_default, default = "default" in step.model_fields_set, step.default

    def look_up(value: Any, _item: Any, _record: Any) -> Any:
        word = readings.text(value)
        if word in exact:
            return exact[word]
        key = None if word is None else word.strip().casefold()
        if key in folded:
            return folded[key]
        if key is None or has_default:
            return default if has_default else None
        raise Refused("the table has no such value")

    return look_up


def _split(step: steps.Split) -> Step:
    by = step.by

    def split(value: Any, _item: Any, _record: Any) -> Any:
        parts = _expects_text(value).split(by, MOST_FOUND + 1)
        if len(parts) > MOST_FOUND + 1:
            raise Refused(f"the text has more than {MOST_FOUND} parts")
        return [part for part in map(str.strip, parts) if part]

    return split


def _join(step: steps.Join) -> Step:
    by = step.by

    def join(value: Any, _item: Any, _record: Any) -> Any:
        parts = [readings.text(one) for one in (value if isinstance(value, list) else [value])]
        return by.join(part for part in parts if part) or None

    return join


def _first(value: Any) -> Any:
    return next((one for one in value if not _is_empty(one)), None) if isinstance(value, list) else value


def _first_of(step: steps.FirstOf) -> Step:
    paths = [compile_path(path) for path in step.paths]

    def first_of(value: Any, item: Any, record: Any) -> Any:
        if value is not None and value != "":
            return value
        for path in paths:
            found = path(item, record)
            if found is not None and found != "":
                return found
        return None

    return first_of


def _collect(step: steps.Collect) -> Step:
    paths = [compile_path(path) for path in step.paths]

    def collect(value: Any, item: Any, record: Any) -> Any:
        found: list[Any] = []
        for one in (value, *(path(item, record) for path in paths)):
            found += one if isinstance(one, list) else [one]
        if len(found) > MOST_FOUND:
            raise Refused(f"there are more than {MOST_FOUND} values")
        kept = [one for one in found if not _is_empty(one)]
        each: dict[str | bytes, Any] = {}
        for one in kept:
            each.setdefault(one if type(one) is str else _WRITTEN.encode(one), one)
        return list(each.values()) or None

    return collect


def _constant(step: steps.Constant) -> Step:
    value = step.value
    return lambda _value, _item, _record: value


def _default(step: steps.Default) -> Step:
    default = step.value
    return lambda value, _item, _record: default if _is_empty(value) else value


def _template(step: steps.Template) -> Step:
    # Its parser is loaded where a template is written: most mappings have none.
    from unified.kit.mapping.expressions.compiling import compile_template  # noqa: PLC0415

    evaluate = compile_template(step.text, NAMES)

    def template(value: Any, item: Any, record: Any) -> Any:
        made = evaluate({"value": value, "item": item, "record": record})
        return None if made == "" else made

    return template


def _each(step: steps.Each) -> Step:
    where = None if step.path is None else compile_path(step.path)
    convert = compile_steps(lambda item, _record: item, step.steps)

    def each(value: Any, _item: Any, record: Any) -> Any:
        found: list[Any] = []
        refused = ""
        for one in items_of(value):
            try:
                made = convert(one if where is None else where(one, record), record)
            except UNREADABLE as error:
                refused = refused or because(error)
            else:
                if made is not None:
                    found.append(made)
        if refused:
            raise PartlyRefused(f"an item was left out: {refused}", found)
        return found or None

    return each


def _sum(step: steps.Sum) -> Step:
    where = None if step.path is None else compile_path(step.path)

    def add_up(value: Any, _item: Any, record: Any) -> Any:
        numbers = [readings.amount(one if where is None else where(one, record)) for one in items_of(value)]
        if None in numbers:
            raise Refused("an item has no number, so the sum would be wrong")
        return sum((one for one in numbers if one is not None), Decimal(0))

    return add_up


def _sort(step: steps.Sort) -> Step:
    paths = [compile_path(path) for path in step.by]

    def place(value: Any) -> Decimal | int:
        if type(value) is int or (
            type(value) is str and len(value) < _A_COUNT and value.isascii() and value.isdecimal()
        ):
            return int(value)
        try:
            found = readings.number(value)
        except Refused:
            found = None
        return Decimal("Infinity") if found is None else found

    def sort(value: Any, _item: Any, record: Any) -> Any:
        return sorted(items_of(value), key=lambda one: [place(path(one, record)) for path in paths])

    return sort


def _omit(step: steps.Omit) -> Step:
    keys = frozenset(step.keys)

    def omit(value: Any, _item: Any, _record: Any) -> Any:
        if not isinstance(value, dict):
            raise Refused(f"an object was expected, not {kind(value)}")
        return {key: one for key, one in value.items() if key not in keys and one is not None and one != ""}

    return omit


_COMPILERS: dict[type[steps.Known], Callable[[Any], Step]] = {
    steps.Text: _plain(readings.text),
    steps.Trim: _plain(lambda value: _expects_text(value).strip() or None),
    steps.Lower: _plain(lambda value: _expects_text(value).lower()),
    steps.Upper: _plain(lambda value: _expects_text(value).upper()),
    steps.Number: _number,
    steps.Money: _money,
    steps.Date: _date,
    steps.Moment: _moment,
    steps.Boolean: _boolean,
    steps.Not: _plain(_not),
    steps.Enum: _enum,
    steps.Split: _split,
    steps.Join: _join,
    steps.First: _plain(_first),
    steps.FirstOf: _first_of,
    steps.Collect: _collect,
    steps.Constant: _constant,
    steps.Default: _default,
    steps.Template: _template,
    steps.Each: _each,
    steps.Sum: _sum,
    steps.Sort: _sort,
    steps.Omit: _omit,
}
