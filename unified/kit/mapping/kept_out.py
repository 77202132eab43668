"""Stops at a rule for a column that is named after the table and filled from another field of the source's record.

Rules name fields of raw records (``columns``). A person who reads the table may name its column instead: the field of
that name would be left out, if there is one, and the value stored all the same. Here that is an error.
"""

from typing import TYPE_CHECKING, Any

from unified.kit.errors import ConfigurationError
from unified.kit.mapping.columns import Columns, is_hashed
from unified.schema.base import UnifiedBase

if TYPE_CHECKING:
    from unified.kit.mapping.column_rules import Treatment


class KeptOut:
    """The columns of a stream's rows that its rules name."""

    def __init__(self, stream: str, model: type[UnifiedBase], columns: Columns) -> None:
        """Find them.

        Args:
            stream: The stream's name.
            model: Of its rows.
            columns: What the connection leaves out and hashes.
        """
        rules = {field.casefold(): treatment for field, treatment in columns.rules.get(stream, {}).items()}
        self._stream = stream
        self._columns: dict[str, tuple[Treatment, Any]] = {
            name: (rules[name], field.get_default(call_default_factory=True))
            for name, field in model.model_fields.items()
            if name in rules
        }

    def check(self, record: UnifiedBase) -> None:
        """See that none of them holds a value of the source's.

        Raises:
            ConfigurationError: If one does; then nothing of its batch is stored.
        """
        for name, (treatment, default) in self._columns.items():
            value = getattr(record, name)
            if not value or value == default or (treatment == "hash" and _is_all_hashed(value)):
                continue
            raise ConfigurationError(
                f"{self._stream}.{name} is to be {'hashed' if treatment == 'hash' else 'left out'}, but {name} is "
                "filled from another field of the source's record: name that one as well, by its keys with dots "
                "between (`expand=raw` of the records API, or the provider's documentation, shows them)"
            )


def _is_all_hashed(value: Any) -> bool:
    """Whether a column's value is hashed, or each of its items; what is made of several fields is not looked into."""
    if isinstance(value, tuple):
        return all(map(_is_all_hashed, value))
    return not isinstance(value, str) or is_hashed(value)
