"""Conditions on a record's fields, and what a field's name stands for: a small declarative form, nothing is evaluated.

A field is one of the model's (``email``), a part of an address (``billing_address.country``) or a custom one
(``custom_fields.region``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from unified.schema.base import UnifiedBase

CUSTOM = "custom_fields."


def field_value(record: UnifiedBase, name: str) -> Any:
    """What a record has in a field.

    Args:
        record: Any.
        name: A field, or a part of one after a dot.

    Returns:
        The value as JSON has it; None for what is missing or empty.
    """
    value: Any = record
    if name.startswith(CUSTOM):
        value = record.custom_fields.get(name.removeprefix(CUSTOM))
    else:
        for part in name.split("."):
            value = getattr(value, part, None)
    value = to_jsonable_python(value)
    return value if value or value in (0, False) else None


def check_field(model: type[UnifiedBase], name: str, *, with_parts: bool = False) -> None:
    """Refuse a name that is not a field of a model.

    Args:
        model: Whose fields.
        name: The name.
        with_parts: Whether a part of a field will do.

    Raises:
        ValueError: If it is not.
    """
    if name.startswith(CUSTOM) and len(name) > len(CUSTOM):
        return
    field, _, part = name.partition(".")
    info = model.model_fields.get(field)
    if (
        info is None
        or field == "raw_data"
        or (part and not (with_parts and _has_part(info.annotation, part)))
    ):
        names = ", ".join(sorted(set(model.model_fields) - {"raw_data"}))
        raise ValueError(f"there is no field {name!r}; use custom_fields.<key> or one of {names}")


def _has_part(annotation: Any, part: str) -> bool:
    kinds = getattr(annotation, "__args__", (annotation,))
    return any(
        isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields for kind in kinds
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: Which field.
        operator: One of ``OPERATORS``.
        value: What to compare with; None for ``is_set`` and ``is_empty``, a list for ``in`` and ``not_in``.
    """

    field: str
    operator: str
    value: Any = None

    def check(self, model: type[UnifiedBase]) -> None:
        """Refuse a condition that can't work for a model.

        Raises:
            ValueError: If there is no such field or operator, or the value is of the wrong kind.
        """
        check_field(model, self.field, with_parts=True)
        if self.operator not in OPERATORS:
            raise ValueError(f"there is no operator {self.operator!r}; use one of {', '.join(OPERATORS)}")
        if (self.value is None) != (self.operator in _ALONE):
            needs = "takes no value" if self.operator in _ALONE else "needs a value"
            raise ValueError(f"{self.field} {self.operator}: this operator {needs}")
        if isinstance(self.value, list) != (self.operator in _LISTS):
            needs = "needs a list" if self.operator in _LISTS else "compares with one value"
            raise ValueError(f"{self.field} {self.operator}: this operator {needs}")

    def is_met(self, record: UnifiedBase) -> bool:
        """Whether a record meets it. What can't be compared does not."""
        return OPERATORS[self.operator](field_value(record, self.field), self.value)

    def __str__(self) -> str:
        return f"{self.field} {self.operator}" + ("" if self.value is None else f" {self.value}")


def meets_all(record: UnifiedBase, conditions: Sequence[Condition]) -> bool:
    """Whether a record meets all conditions."""
    return all(condition.is_met(record) for condition in conditions)


def _compare(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """An order of times or numbers, whatever of the two both values are."""

    def compare(held: Any, value: Any) -> bool:
        for read in (_number, _time):
            one, other = read(held), read(value)
            if one is not None and other is not None:
                return holds(one, other)
        return False

    return compare


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _contains(held: Any, value: Any) -> bool:
    return value in held if isinstance(held, list) else str(value) in str(held or "")


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda held, value: held == value,
    "is_not": lambda held, value: held != value,
    "in": lambda held, value: held in value,
    "not_in": lambda held, value: held not in value,
    "contains": _contains,
    "starts_with": lambda held, value: str(held or "").startswith(str(value)),
    "ends_with": lambda held, value: str(held or "").endswith(str(value)),
    "above": _compare(lambda one, other: one > other),
    "below": _compare(lambda one, other: one < other),
    "is_set": lambda held, _: held is not None,
    "is_empty": lambda held, _: held is None,
}
_ALONE = frozenset(("is_set", "is_empty"))
_LISTS = frozenset(("in", "not_in"))
