"""How a record becomes a row of a binary COPY.

Binary COPY carries values without their types, so a column whose bytes are ready (JSON as it was received, an
array packed here) is passed on as ``bytea``: psycopg's compiled code then touches nothing in it.
"""

import struct
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import to_json

from store.tables import UnifiedTable
from unified_schema import UnifiedBase

# An array in PostgreSQL's binary form begins with dimensions, has-nulls and element type; then length and
# lower bound.
_ARRAY = struct.Struct("!iiI")
_DIMENSION = struct.Struct("!ii")
_LENGTH = struct.Struct("!i")
_TEXT_OID = 25
_EMPTY_ARRAY = _ARRAY.pack(0, 0, _TEXT_OID)
_JSONB_VERSION = b"\x01"
_EMPTY_JSONB: dict[type, bytes] = {dict: _JSONB_VERSION + b"{}", tuple: _JSONB_VERSION + b"[]"}


def copy_types(table: UnifiedTable, columns: Sequence[str]) -> list[str]:
    """The types to announce to psycopg for rows that :func:`row_encoder` makes."""
    types = {column.name: column.type for column in table.columns}
    return ["bytea" if types[name] in _ENCODERS else types[name] for name in columns]


def row_encoder(table: UnifiedTable, columns: Sequence[str]) -> Callable[[UnifiedBase], list[Any]]:
    """How to turn a record of a table into the values of some of its columns.

    Args:
        table: Whose records.
        columns: Names of at least two of its columns.

    Returns:
        A function of a record; its values fit :func:`copy_types`.
    """
    types = {column.name: column.type for column in table.columns}
    values = attrgetter(*columns)
    encoders = [(i, _ENCODERS[types[name]]) for i, name in enumerate(columns) if types[name] in _ENCODERS]

    def encode(record: UnifiedBase) -> list[Any]:
        row = list(values(record))
        for i, encoder in encoders:
            if row[i] is not None:
                row[i] = encoder(row[i])
        return row

    return encode


def _jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + to_json(value) if value else _EMPTY_JSONB[type(value)]


def _text_array(items: tuple[str, ...]) -> bytes:
    if not items:
        return _EMPTY_ARRAY
    parts = [_ARRAY.pack(1, 0, _TEXT_OID), _DIMENSION.pack(len(items), 1)]
    for item in items:
        text = item.encode()
        parts += (_LENGTH.pack(len(text)), text)
    return b"".join(parts)


_ENCODERS: dict[str, Callable[[Any], bytes]] = {"json": to_json, "jsonb": _jsonb, "text[]": _text_array}
