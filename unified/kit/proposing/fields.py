"""The fields of a foreign object, as a matcher sees them: names, types, formats, descriptions, samples.

They come from records (:func:`observed`) or from a JSON Schema (:func:`of_schema`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

DEEPEST = 5
"""Levels of objects below which nothing is looked at."""

MOST_FIELDS = 2000
MOST_SAMPLES = 20
"""Values of a field that are looked at."""

LONGEST_SAMPLE = 200
_LONGEST_DESCRIPTION = 200
_MOST_ITEMS = 20
"""Items of a list that are looked at."""


@dataclass(slots=True)
class ForeignField:
    """One field of an object.

    Attributes:
        path: Where it stands, as rules write it.
        type: ``string``, ``integer``, ``number``, ``boolean``, ``array`` or ``object``; "" where unknown.
        format: As JSON Schema says it, such as ``date-time``; "" where it says nothing.
        description: What its documentation says, cut to 200 characters.
        words: The values that its schema allows, where it lists them.
        samples: Some of its values, null included; long text is cut.
        seen: In how many records it was looked for.
        filled: In how many it held something.
        items: The fields of the items of a list of objects; their paths begin at the item.
    """

    path: str
    type: str = ""
    format: str = ""
    description: str = ""
    words: tuple[str, ...] = ()
    samples: list[Any] = field(default_factory=list)
    seen: int = 0
    filled: int = 0
    items: "list[ForeignField]" = field(default_factory=list)

    def __post_init__(self) -> None:
        """Cut what may be long."""
        self.description = " ".join(self.description[: 4 * _LONGEST_DESCRIPTION].split())[
            :_LONGEST_DESCRIPTION
        ]

    def values(self) -> list[Any]:
        """The samples that say something, and the words of its schema."""
        return [one for one in (*self.samples, *self.words) if one is not None and one != ""]


def digest(fields: Iterable[ForeignField]) -> str:
    """A hash of an object's shape: names, types, formats, descriptions. Values are not part of it."""
    said = sorted(_shape(one) for one in fields)
    return sha256(msgspec.json.encode(said)).hexdigest()


def _shape(one: ForeignField) -> list[Any]:
    return [one.path, one.type, one.format, one.description, sorted(map(_shape, one.items))]


def observed(records: Iterable[Any]) -> list[ForeignField]:
    """The fields of records, in the order in which they were met.

    Args:
        records: Decoded ones, such as of :func:`unified.kit.decoding.decode_exactly`.
    """
    return _Observed().of(records, 0)


class _Observed:
    """Fields that are being gathered. Counts and a few samples are kept, no records."""

    def __init__(self) -> None:
        self._count = 0

    def of(self, records: Iterable[Any], depth: int) -> list[ForeignField]:
        found: dict[str, ForeignField] = {}
        types: dict[str, set[str]] = {}
        lists: dict[str, list[Any]] = {}
        seen = 0
        for record in records:
            if not isinstance(record, dict):
                continue
            seen += 1
            for path, value in _walk(record, "", depth):
                one = found.get(path)
                if one is None:
                    if self._count >= MOST_FIELDS:
                        continue
                    self._count += 1
                    one = found[path] = ForeignField(path)
                self._note(one, value, types.setdefault(path, set()))
                if isinstance(value, list) and len(lists.setdefault(path, [])) < _MOST_ITEMS:
                    lists[path] += value[: _MOST_ITEMS - len(lists[path])]
        for path, one in found.items():
            one.seen = seen
            one.type = _one_type(types[path])
            if depth < DEEPEST and (items := lists.get(path)):
                one.items = self.of(items, depth + 1)
        return list(found.values())

    @staticmethod
    def _note(one: ForeignField, value: Any, types: set[str]) -> None:
        is_empty = value in (None, "", [], {})
        one.filled += not is_empty
        if value is not None:
            types.add(type_of(value))
        if len(one.samples) < MOST_SAMPLES and not isinstance(value, dict | list):
            one.samples.append(value[:LONGEST_SAMPLE] if isinstance(value, str) else value)


def _walk(record: Mapping[str, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        path = joined(before, key)
        yield path, value
        if depth >= DEEPEST:
            continue
        if isinstance(value, dict):
            yield from _walk(value, path, depth + 1)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from _walk(value[0], f"{path}[0]", depth + 1)


def joined(before: str, key: str) -> str:
    """A path and one more key, quoted where it has dots, brackets or quotes in it."""
    if key and key != "$" and not any(one in key for one in ".[]*'\"\\"):
        return f"{before}.{key}" if before else key
    quoted = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{before}['{quoted}']"


def type_of(value: Any) -> str:
    """The JSON type of a value that is not null."""
    for kinds, name in _TYPES:
        if isinstance(value, kinds):
            return name
    return ""


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int, "integer"),
    ((float, Decimal), "number"),
    ((list, tuple), "array"),
    (dict, "object"),
)


def _one_type(types: set[str]) -> str:
    if types == {"integer", "number"}:
        return "number"
    return types.pop() if len(types) == 1 else ""
