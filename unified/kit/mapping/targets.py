"""What a rule may fill, and how each field reads a value by itself, by its type: an amount, a time, a currency's code.

A rule without steps so does what its field needs: ``20260012`` becomes an invoice's number, ``/Date(…)/`` a time, and
``PAID`` the status that is spelt so.
"""

import marshal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from unified.kit.mapping import readings
from unified.kit.mapping.refusals import Refused, RuleError, kind
from unified.schema.base import UnifiedBase, UnifiedModel
from unified.schema.customer import Email, check_email
from unified.schema.money import Currency, Money

CUSTOM = "custom_fields"
_CUSTOM_KEY = f"{CUSTOM}."

# A rule may fill what a record says, never what it is.
_IDENTITY = frozenset(
    ("source_system", "source_id", "unified_id", "observed_at", "synced_at", "deleted_at", "raw_data", CUSTOM)
)

Reader = Callable[[Any], Any]

_EMAIL, _CURRENCY, _MONEY = (get_args(one)[1] for one in (Email, Currency, Money))


@dataclass(frozen=True, slots=True)
class Target:
    """A place of a record that a rule fills.

    Attributes:
        kind: A field; a part of one that is an object; a custom field, or all of them; or a list of objects.
        field: The model's field, or the custom field's key.
        part: Of a part.
        read: Makes of a value what the place holds; None or Refused as the readings.
        model: Of a list's items, or of the object that a part belongs to.
        is_money: Whether it holds an amount.
        is_word: Whether it holds one of the model's words, such as a status.
    """

    kind: Literal["field", "part", "custom", "customs", "list"]
    field: str
    read: Reader
    part: str = ""
    model: type[UnifiedModel] | None = None
    is_money: bool = False
    is_word: bool = False

    @property
    def held(self) -> type:
        """A type of which what is not empty is held as it is: ``read`` gives it back."""
        return _HELD.get(self.read, NoneType)

    @property
    def is_object(self) -> bool:
        """Whether it takes an object of the source's, as JSON columns hold it."""
        return self.read in (_object, _entries, plain)


@cache
def target_of(model: type[UnifiedModel], name: str) -> Target:
    """The place that a rule's target names.

    Raises:
        RuleError: If the model has no such place, or it says what the record is.
    """
    is_record = issubclass(model, UnifiedBase)
    if is_record and name == CUSTOM:
        return Target("customs", CUSTOM, _entries)
    if is_record and name.startswith(_CUSTOM_KEY) and len(name) > len(_CUSTOM_KEY):
        return Target("custom", name.removeprefix(_CUSTOM_KEY), plain)
    field, _, part = name.partition(".")
    info = model.model_fields.get(field)
    if info is None or (is_record and field in _IDENTITY):
        raise _no_place(model, name)
    parts = _model_in(info.annotation)
    if not part:
        if parts is not None and _is_list(info.annotation):
            return Target("list", field, _reader(info.annotation, info.metadata), model=parts)
        return Target(
            "field",
            field,
            _reader(info.annotation, info.metadata),
            is_money=_is_marked(info.annotation, info.metadata, _MONEY),
            is_word=any(_is_enum(one) for one in (info.annotation, *_arguments(info.annotation))),
        )
    inner = None if parts is None or _is_list(info.annotation) else parts.model_fields.get(part)
    if inner is None:
        raise _no_place(model, name)
    return Target("part", field, _reader(inner.annotation, inner.metadata), part, parts)


def needed(model: type[UnifiedModel]) -> frozenset[str]:
    """Fields that a record of the model can't do without, its identity aside."""
    return frozenset(name for name, info in model.model_fields.items() if info.is_required()) - _IDENTITY


def _no_place(model: type[UnifiedModel], name: str) -> RuleError:
    is_record = issubclass(model, UnifiedBase)
    allowed = sorted(set(model.model_fields) - (_IDENTITY if is_record else frozenset()))
    custom = "custom_fields.<key>, " if is_record else ""
    parts = next((field for field in allowed if _model_in(model.model_fields[field].annotation)), None)
    hint = (
        f", or a part such as {parts}.{next(iter(_parts(model, parts)))}"
        if parts and parts != "line_items"
        else ""
    )
    return RuleError(f"a rule can't fill {name!r}; use {custom}one of {', '.join(allowed)}{hint}")


def _parts(model: type[UnifiedModel], field: str) -> Mapping[str, Any]:
    inner = _model_in(model.model_fields[field].annotation)
    return {} if inner is None else inner.model_fields


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return tuple(one for one in get_args(annotation) if one not in (type(None), Ellipsis))


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _model_in(annotation: Any) -> type[UnifiedModel] | None:
    for one in (annotation, *_arguments(annotation)):
        if isinstance(one, type) and issubclass(one, UnifiedModel):
            return one
    return None


def _is_marked(annotation: Any, metadata: Iterable[Any], mark: Any) -> bool:
    return any(one == mark for one in metadata) or any(
        _is_marked(one, (), mark) or one == mark for one in get_args(annotation)
    )


def _reader(annotation: Any, metadata: Iterable[Any]) -> Reader:  # noqa: C901 - a line a type
    """How a field of that type reads a value."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = _arguments(annotation)
    marks = [*metadata, *getattr(annotation, "__metadata__", ())]
    for mark, read in ((_MONEY, readings.amount), (_CURRENCY, readings.currency), (_EMAIL, _email)):
        if mark in marks:
            return read
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if annotation is AwareDatetime:
        return readings.moment
    if _is_list(annotation):
        return partial(_list, _reader(_arguments(annotation)[0], ()))
    if get_origin(annotation) is dict:
        return _object
    if isinstance(annotation, type):
        for known, read in _READERS:
            if issubclass(annotation, known):
                return partial(read, annotation) if known in (Enum, BaseModel) else read
    return partial(_validated, TypeAdapter(annotation))


def _email(value: Any) -> str | None:
    found = readings.text(value)
    if found is None or not found.strip():
        return None
    try:
        return check_email(found.strip())
    except ValueError:
        raise Refused("it is not an e-mail address") from None


def _list(read: Reader, value: Any) -> tuple[Any, ...] | None:
    """A list, each item once read; one value alone is a list of it."""
    if value is None:
        return None
    items = map(read, value if isinstance(value, list | tuple) else (value,))
    return tuple(one for one in items if one is not None)


def _object(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return None if value is None else plain(value)
    raise Refused(f"an object was expected, not {kind(value)}")


def _entries(value: Any) -> dict[str, Any] | None:
    return _object(value)


def _enum(members: type[Enum], value: Any) -> Enum | None:
    words = _words(members)
    if type(value) is str and value in words:
        return words[value]
    found = readings.text(value)
    if found is None:
        return None
    word = found.strip().casefold()
    if word in words:
        return words[word]
    raise Refused(
        f"it is not one of {', '.join(str(member.value) for member in members)}; map it with the step `enum`"
    )


@cache
def _words(members: type[Enum]) -> dict[str, Enum]:
    return {member.value: member for member in members}


def _integer(value: Any) -> int | None:
    found = readings.number(value)
    if found is None:
        return None
    if abs(found.adjusted()) > 18 or found != int(found):  # noqa: PLR2004 - as a column of 64 bits holds
        raise Refused("a whole number was expected")
    return int(found)


def _part(model: type[BaseModel], value: Any) -> BaseModel | None:
    """An object in the model's own words; None of an empty one."""
    if value is None or isinstance(value, model):
        return value
    if not isinstance(value, dict):
        raise Refused(f"an object was expected, not {kind(value)}")
    parts = {key: one for key, one in value.items() if one is not None and one != ""}
    try:
        return model.model_validate(parts) if parts else None
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        raise Refused(
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults[:3])
        ) from None


def _validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise Refused(f"the field does not hold {kind(value)}") from None


# By type; bool before int, which it is a kind of.
_READERS: tuple[tuple[type, Callable[..., Any]], ...] = (
    (Enum, _enum),
    (str, readings.text),
    (bool, readings.boolean),
    (int, _integer),
    (Decimal, readings.number),
    (BaseModel, _part),
)


def plain(value: Any) -> Any:
    """A value as JSON columns hold it: a decimal is a number where a double keeps its digits, else text of them.

    Raises:
        RecursionError: If it is nested deeper than Python goes.
    """
    if value is None or isinstance(value, str | int):
        return value
    try:
        # Without a decimal, of which marshal knows nothing, it is plain already. Nothing that C does walks it sooner.
        marshal.dumps(value)
    except ValueError:
        return _PLAIN.decode(_WRITTEN.encode(value))
    return value


def _double_or_digits(digits: str) -> float | str:
    double = float(digits)
    return double if Decimal(repr(double)) == Decimal(digits) else digits


_HELD: dict[Reader, type] = {readings.text: str, readings.boolean: bool, readings.moment: datetime}
_WRITTEN = msgspec.json.Encoder(decimal_format="number")
_PLAIN = msgspec.json.Decoder(float_hook=_double_or_digits)
