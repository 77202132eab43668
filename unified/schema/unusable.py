"""What a record holds that can't be read: kept aside, so that an odd field does not cost the record.

A field that a record can do without is null where its value can't be read, and what was written stays in
``custom_fields``, under ``invalid_`` and the field's name. A record's identity and its amounts are no such fields: an
invoice without its total would be missing from every sum, and nobody would see it. Those make it a reject.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from unified.schema.base import LONGEST_KEY, UnifiedBase, UnifiedModel
from unified.schema.money import Money
from unified.schema.reading import emails, moment

PREFIX = "invalid_"
"""What the keys of ``custom_fields`` begin with that hold an unusable value."""

# Texts that indexes hold, by themselves or with others; e-mail addresses are shorter anyway.
_LOOKED_UP = ("name", "tax_number", "customer_id", "resource_id")

_Read = TypeVar("_Read")
_Value = TypeVar("_Value")
_Model = TypeVar("_Model", bound=UnifiedModel)
_Record = TypeVar("_Record", bound=UnifiedBase)

# What reading a value of a form that nobody expected ends in.
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


def without_long_keys(record: _Record) -> _Record:
    """The record without texts that are too long to be looked up by: for one of them an index refuses a whole batch."""
    too_long: dict[str, Any] = {}
    for name in _looked_up(type(record)):
        value = getattr(record, name)
        # No character takes more than four bytes.
        if value and len(value) > LONGEST_KEY // 4 and len(value.encode()) > LONGEST_KEY:
            too_long[name] = value
    if not too_long:
        return record
    return record.model_copy(update={**dict.fromkeys(too_long), "custom_fields": _beside(record, too_long)})


@cache
def _looked_up(model: type[UnifiedBase]) -> tuple[str, ...]:
    """Those of them that a model has: pydantic takes microseconds to say that a record has not a field."""
    return tuple(name for name in _LOOKED_UP if name in model.model_fields)


def _beside(record: UnifiedBase, values: Mapping[str, Any]) -> dict[str, Any]:
    return {**record.custom_fields, **{f"{PREFIX}{name}": value for name, value in values.items()}}


def has_unusable(record: UnifiedBase) -> bool:
    """Whether a field of the record could not be read."""
    return any(key.startswith(PREFIX) for key in record.custom_fields)


class Unusable:
    """What one record, or one line of it, holds that can't be read.

    Attributes:
        values: As they were written, by the name of their field.
    """

    __slots__ = ("_per_second", "values")

    def __init__(self, *, per_second: int = 1) -> None:
        """Begin with a record of which all can be read; ``per_second`` is 1000 where its times count milliseconds."""
        self.values: dict[str, Any] = {}
        self._per_second = per_second

    def read(self, name: str, reader: Callable[[_Value], _Read], value: _Value) -> _Read | None:
        """Read the value of a field that the record can do without; None where that fails.

        Args:
            name: The field's name.
            reader: Of :mod:`unified.schema.reading`, as a rule.
            value: As the source wrote it.
        """
        try:
            return reader(value)
        except _UNREADABLE:
            self.values[name] = value
            return None

    def time(self, name: str, value: str | float | None) -> datetime | None:
        """Read a time; see :func:`unified.schema.reading.moment`."""
        if value is None:
            return None
        try:
            return moment(value, per_second=self._per_second)
        except _UNREADABLE:
            self.values[name] = value
            return None

    def reach(self, mails: Iterable[Any], phones: Sequence[Any]) -> dict[str, Any]:
        """How a customer is reached: ``email``, ``emails``, ``phone`` and ``phones``, the main one first."""
        valid, invalid = emails(mails)
        if invalid:
            self.values["email"] = invalid[0]
        if odd := [phone for phone in phones if phone and not isinstance(phone, str)]:
            self.values["phone"] = odd[0]
        numbers = tuple(dict.fromkeys(phone for phone in phones if phone and isinstance(phone, str)))
        return {
            "email": next(iter(valid), None),
            "emails": tuple(valid),
            "phone": next(iter(numbers), None),
            "phones": numbers,
        }

    def model(self, model: type[_Model], fields: Mapping[str, Any]) -> _Model:
        """A model without those of its fields that it refuses and can do without.

        Raises:
            ValidationError: If it refuses a field that it can't do without.
        """
        try:
            # As ``model_validate`` does, which asks for its options first: a twentieth of mapping an invoice.
            return model.__pydantic_validator__.validate_python(fields)  # type: ignore[no-any-return]
        except ValidationError as error:
            refused = {str(fault["loc"][0]) for fault in error.errors(include_url=False) if fault["loc"]}
            if not refused or not refused <= _dispensable(model):
                raise
            self.values |= {name: fields[name] for name in fields if name in refused}
            return self.model(model, {name: fields[name] for name in fields if name not in refused})

    def record(self, model: type[_Record], **fields: Any) -> _Record:
        """A record, as :meth:`model`, with what could not be read among its custom fields."""
        record = self.model(model, fields)
        if not self.values:
            return record
        return record.model_copy(update={"custom_fields": _beside(record, self.values)})

    def each(
        self, name: str, items: Iterable[Any], reader: Callable[[Any, "Unusable"], _Read]
    ) -> tuple[_Read, ...]:
        """Read a list of objects, such as an invoice's lines.

        Args:
            name: The list's name.
            items: As the source wrote them. What is not an object is kept aside, and so is what ``reader`` could not
                read of one, under the ``id`` that the item has, or else its place.
            reader: Makes one of an item, and notes in its second argument what can't be read.
        """
        found: list[_Read] = []
        for place, item in enumerate(items):
            part = Unusable(per_second=self._per_second)
            if isinstance(item, dict):
                found.append(reader(item, part))
                written: Any = part.values
                where = str(item.get("id") or place)
            else:
                written, where = item, str(place)
            if written or not isinstance(item, dict):
                self.values.setdefault(name, {})[where] = written
        return tuple(found)


@cache
def _dispensable(model: type[UnifiedModel]) -> frozenset[str]:
    """Fields that a model can do without: those that are not required, and hold no amount."""
    money = get_args(Money)[1:]
    return frozenset(
        name
        for name, field in model.model_fields.items()
        if not field.is_required()
        and name not in ("raw_data", "custom_fields")
        and not _holds(field.annotation, field.metadata, money)
    )


def _holds(annotation: Any, metadata: Iterable[Any], marks: tuple[Any, ...]) -> bool:
    return any(one in marks for one in metadata) or any(
        one == Money or _holds(one, (), marks) for one in get_args(annotation)
    )
