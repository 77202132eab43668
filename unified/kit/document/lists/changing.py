"""A document's filter and transformations of raw records, compiled. They change what is kept, so a rule can read it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from unified.kit.decoding import decode_exactly
from unified.kit.document.parts import RECORD_SCOPE
from unified.kit.document.streams import AddField, RemoveField, RenameField, Transformation
from unified.kit.errors import MappingError
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.refusals import Refused

_WRITTEN = msgspec.json.Encoder(decimal_format="number")

Change = Callable[[bytes], bytes | None]
"""Takes a record's JSON text, and gives it as it is kept; None of one that is left out."""

_Step = Callable[[dict[str, Any], dict[str, Any]], None]


def change_of(
    filter: str | None,  # noqa: A002 - as documents call it
    transformations: Sequence[Transformation],
    scope: Mapping[str, Any],
) -> Change | None:
    """What is done to each record of a stream; None where nothing is, and its text stays as it was sent.

    A record that an expression can't read is kept as it was: what is wrong with it, its mapping says.

    Args:
        filter: What is true of the records that count.
        transformations: What is done to these.
        scope: The connection's ``settings`` and the ``partition``.
    """
    if filter is None and not transformations:
        return None
    counts = None if filter is None else compile_template(filter, RECORD_SCOPE)
    steps = [_step(one) for one in transformations]

    def change(body: bytes) -> bytes | None:
        try:
            record = decode_exactly(body)
        except MappingError:
            return body
        if not isinstance(record, dict):
            return body
        names = {**scope, "record": record}
        try:
            if counts is not None and not counts(names):
                return None
            for step in steps:
                step(record, names)
            return _WRITTEN.encode(record) if steps else body
        except (Refused, msgspec.MsgspecError, RecursionError):
            return body

    return change


def _step(said: Transformation) -> _Step:
    match said:
        case AddField():
            return _adding(said)
        case RemoveField():
            return _removing(said)
        case RenameField():
            return _renaming(said)


def _adding(said: AddField) -> _Step:
    *above, last = said.path
    value = compile_template(said.value, RECORD_SCOPE)

    def add(record: dict[str, Any], names: dict[str, Any]) -> None:
        place: Any = record
        for key in above:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise Refused(f"{key} is not an object")
        place[last] = value(names)

    return add


def _removing(said: RemoveField) -> _Step:
    *above, last = said.path

    def remove(record: dict[str, Any], _: dict[str, Any]) -> None:
        place = _place(record, above)
        if place is not None:
            place.pop(last, None)

    return remove


def _renaming(said: RenameField) -> _Step:
    *above, last = said.path

    def rename(record: dict[str, Any], _: dict[str, Any]) -> None:
        place = _place(record, above)
        if place is not None and last in place:
            place[said.to] = place.pop(last)

    return rename


def _place(record: dict[str, Any], above: Sequence[str]) -> dict[str, Any] | None:
    place: Any = record
    for key in above:
        place = place.get(key) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else None
