"""Whether stored records have the fields that rules of columns name: a misspelt name leaves nothing out.

A source need not send every field, so no list of them is complete: a name that no record has is said, as long as none
has it, and refused only where it can't be another field. What is left out keeps its name in the raw record, so that
this can be asked at any time. A process looks again only once a record of the stream has changed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from unified.kit.errors import ConfigurationError, meant
from unified.kit.mapping.column_rules import Rules
from unified.kit.registry import get_adapter
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import tables
from unified.store.records.counts import kept
from unified.store.records.tables import StreamKey

_CHUNK, _MOST = 100, 1000
"""Stored records of a stream that are looked at: some, and more while one of the fields is in none of them."""
_MOST_NAMES, _MOST_LOOKS = 1000, 1000
_NAME = re.compile(r"[A-Za-z_][\w-]{0,63}")  # a key that a program has chosen; others may be somebody's data


@dataclass(frozen=True, slots=True)
class Unseen:
    """A field that none of the records has that were looked at.

    Attributes:
        stream: Whose records.
        field: Its dotted path, as the rule has it.
        looked_at: How many records.
        near: Dotted paths of fields that they have, and whose names are much like it.
    """

    stream: str
    field: str
    looked_at: int
    near: Sequence[str] = ()

    def __str__(self) -> str:
        if not self.looked_at:
            return (
                f"No {self.stream} are stored yet, so whether they have the field {self.field} is seen after the first "
                "sync."
            )
        ask = f"; did you mean {' or '.join(self.near)}?" if self.near else ": look at its spelling."
        return (
            f"None of {self.looked_at} stored {self.stream} has the field {self.field}, so its rule has left out "
            f"nothing{ask}"
        )


async def unseen(db: Database, connection: Connection, rules: Rules) -> list[Unseen]:
    """The fields of some rules that no stored record has, as far as these are looked at."""
    return [
        one
        for stream in get_adapter(connection.connector).all_streams()
        if stream.name in rules
        for one in await _looked_for(db, StreamKey.of(connection, stream), frozenset(rules[stream.name]))
    ]


async def refuse_misspelt(db: Database, connection: Connection, rules: Rules) -> None:
    """Refuse new rules for a field that no record has, where another one has the same letters.

    Raises:
        ConfigurationError: If there is one; it says which was meant.
    """
    for one in await unseen(db, connection, rules):
        if one.field in connection.columns.get(one.stream, {}):
            continue
        for near in one.near:
            if _letters(near) == _letters(one.field) and near not in rules[one.stream]:
                raise ConfigurationError(
                    f"none of {one.looked_at} stored {one.stream} has the field {one.field}; did you mean "
                    f"{one.stream}.{near}? Where records have both, name both"
                )


# What was looked for in this process, what was asked for last at the end: as of which snapshot, and what was not found.
_looks: dict[tuple[StreamKey, frozenset[str]], tuple[str, list[Unseen]]] = {}


async def _looked_for(db: Database, key: StreamKey, fields: frozenset[str]) -> list[Unseen]:
    """What a stream's records do not have, by the last look, as long as none of them has changed since."""
    async with db.workspace(key.workspace_id) as conn:
        if (look := _looks.pop((key, fields), None)) and not await kept.has_changed(conn, key, look[0]):
            _looks[key, fields] = look
            return look[1]
        as_of = await kept.snapshot(conn)
    found = await _unseen_of(db, key, fields)
    _looks[key, fields] = as_of, found
    while len(_looks) > _MOST_LOOKS:
        del _looks[next(iter(_looks))]
    return found


async def _unseen_of(db: Database, key: StreamKey, fields: frozenset[str]) -> list[Unseen]:
    ways = {field: field.split(".") for field in sorted(fields)}
    # By field, and by how far its keys lead: the names that stand there in records.
    beside: dict[str, list[set[str]]] = {field: [set() for _ in way] for field, way in ways.items()}
    looked_at, after = 0, ""
    while ways and looked_at < _MOST:
        async with db.workspace(key.workspace_id) as conn:
            rows = await tables.read_raw(conn, key, after=after, limit=_CHUNK)
        if not rows:
            break
        for row in rows:
            record, after = _decoded(row.body), row.source_id
            ways = {field: way for field, way in ways.items() if not _has(record, way, beside[field])}
        looked_at += len(rows)
    return [Unseen(key.stream, field, looked_at, _near(way, beside[field])) for field, way in ways.items()]


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _has(value: Any, way: Sequence[str], beside: Sequence[set[str]]) -> bool:
    """Whether a value has a field; ``beside`` takes up the names that stand where its keys are looked for."""
    if isinstance(value, list):
        return any(_has(item, way, beside) for item in value)
    if not isinstance(value, dict):
        return False
    if len(beside[0]) < _MOST_NAMES:
        beside[0].update(value)
    return way[0] in value and (len(way) == 1 or _has(value[way[0]], way[1:], beside[1:]))


def _near(way: Sequence[str], beside: Sequence[set[str]]) -> list[str]:
    """What may have been meant: the same way, and a name much like it in the place of the first one that is nowhere."""
    for place, (name, found) in enumerate(zip(way, beside, strict=True)):
        if name not in found:
            return [
                ".".join((*way[:place], one, *way[place + 1 :]))
                for one in meant(name, filter(_NAME.fullmatch, found))
            ]
    return []


def _letters(name: str) -> list[str]:
    """What two spellings of one name have in common, where letters are swapped, or words divided otherwise."""
    return sorted(re.sub(r"[_-]", "", name.casefold()))
