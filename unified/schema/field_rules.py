"""Field rules: what a workspace maps beyond an adapter's own mapping.

A rule takes a value from the raw record by a dotted path (``metadata.vat_id``, ``properties.region``) into a field
of the unified record (``tax_number``) or a key of its custom fields (``custom_fields.region``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unified.schema.base import UnifiedBase

_Record = TypeVar("_Record", bound=UnifiedBase)

# A rule may fill what a record says, never what it is.
_IDENTITY = frozenset(
    (
        "source_system",
        "source_id",
        "unified_id",
        "observed_at",
        "synced_at",
        "deleted_at",
        "raw_data",
        "custom_fields",
    )
)
_CUSTOM = "custom_fields."


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One rule.

    Attributes:
        source_path: Dotted path in the raw record.
        target_field: A field of the unified model, or ``custom_fields.<key>``.
    """

    source_path: str
    target_field: str

    def check(self, model: type[UnifiedBase]) -> None:
        """Refuse a rule that can't work for a model.

        Raises:
            ValueError: If the target is not a field of the model, or one that identifies the record.
        """
        if self.target_field.startswith(_CUSTOM) and len(self.target_field) > len(_CUSTOM):
            return
        if self.target_field not in model.model_fields or self.target_field in _IDENTITY:
            allowed = sorted(set(model.model_fields) - _IDENTITY)
            msg = (
                f"a rule can't fill {self.target_field!r}; "
                f"use custom_fields.<key> or one of {', '.join(allowed)}"
            )
            raise ValueError(msg)


def apply_rules(record: _Record, raw: dict[str, Any], rules: Sequence[FieldRule]) -> _Record:
    """Fill a record's fields by the workspace's rules.

    Args:
        record: As the adapter mapped it.
        raw: The decoded raw record.
        rules: Checked rules. A path that leads nowhere leaves its field as it is.

    Returns:
        A new, validated record.

    Raises:
        pydantic.ValidationError: If a value does not fit its field.
    """
    fields = dict(record)
    custom = dict(record.custom_fields)
    for rule in rules:
        value = _value_at(raw, rule.source_path)
        if value is None:
            continue
        if rule.target_field.startswith(_CUSTOM):
            custom[rule.target_field.removeprefix(_CUSTOM)] = value
        else:
            fields[rule.target_field] = value
    return type(record).model_validate({**fields, "custom_fields": custom})


def _value_at(raw: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(raw, list) and key.isdecimal() and int(key) < len(raw):
            raw = raw[int(key)]
        elif isinstance(raw, dict):
            raw = raw.get(key)
        else:
            return None
    return raw
