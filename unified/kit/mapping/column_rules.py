"""Which columns a connection leaves out or hashes, as it says so; :mod:`unified.kit.mapping.columns` carries it out."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from unified.kit.errors import ConfigurationError

Treatment = Literal["omit", "hash"]
Rules = Mapping[str, Mapping[str, Treatment]]
"""By stream, what becomes of which field."""

MOST_FIELDS = 200
"""Rules of one stream."""

_LONGEST = 200
_TREATMENTS = get_args(Treatment)


def check(
    stream: str, fields: Mapping[str, str], identifying: Iterable[str], leading: Iterable[str] = ()
) -> None:
    """Refuse rules that can't work.

    Args:
        stream: Whose.
        fields: By field, what becomes of it.
        identifying: The fields by which records are known and dated, which stay.
        leading: The fields by which events are known, dated and led to records, which stay as well.

    Raises:
        ConfigurationError: If a rule can't work; it says why.
    """
    if len(fields) > MOST_FIELDS:
        raise ConfigurationError(
            f"{stream}: at most {MOST_FIELDS} columns can be left out or hashed, not {len(fields)}"
        )
    for field, treatment in fields.items():
        if treatment not in _TREATMENTS:
            raise ConfigurationError(
                f"{stream}.{field}: a column can be {' or '.join(_TREATMENTS)}, not {treatment!r}"
            )
        if not all(field.split(".")) or len(field) > _LONGEST:
            raise ConfigurationError(
                f"{stream}: {field!r:.80} is not a field: write the keys of the source's record with dots between, as "
                "in properties.email"
            )
        for kept, why in (
            *((one, "records are known and dated") for one in identifying),
            *((one, "events are known, dated and led to their records") for one in leading),
        ):
            if f"{kept}.".startswith(f"{field}."):
                raise ConfigurationError(f"{stream}.{field} has to stay: {why} by {kept}")
        for other in fields:
            if other != field and other.startswith(f"{field}."):
                raise ConfigurationError(
                    f"{stream}.{other} is part of {stream}.{field}: leave one of the two out"
                )


def loosened(before: Mapping[str, Treatment], after: Mapping[str, Treatment]) -> bool:
    """Whether rules let something through that was not stored before, so it has to be read anew."""

    def is_kept_out(field: str, treatment: Treatment) -> bool:
        return any(after.get(way) in ("omit", treatment) for way in _ways(field))

    return not all(is_kept_out(field, treatment) for field, treatment in before.items())


def _ways(field: str) -> list[str]:
    """A field, and all that it is part of."""
    keys = field.split(".")
    return [".".join(keys[: number + 1]) for number in range(len(keys))]
