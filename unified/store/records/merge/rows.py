"""How a record becomes a row of a binary COPY: each value as its length and its bytes.

The form of each type is PostgreSQL's own (the ``…_recv`` functions of its source); decimals, whose form is an
involved one, are left to psycopg.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from psycopg.adapt import PyFormat
from pydantic_core import to_json

from unified.schema import UnifiedBase
from unified.store.records.raw.forms import Compressed
from unified.store.records.tables import UnifiedTable

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What a binary COPY begins with: signature, no flags, no extension."""
TRAILER = b"\xff\xff"
"""What it ends with."""

_COUNT = struct.Struct("!H")
_LENGTH = struct.Struct("!i")
_INT8 = struct.Struct("!iq")
_NULL = _LENGTH.pack(-1)

# An array begins with dimensions, has-nulls and element type; then length and lower bound.
_ARRAY = struct.Struct("!iiI")
_DIMENSION = struct.Struct("!ii")
_TEXT_OID = 25

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_JSONB_VERSION = b"\x01"
_model_json = msgspec.json.Encoder(enc_hook=vars).encode

_decimal_dumper = psycopg.adapters.get_dumper(Decimal, PyFormat.BINARY)(Decimal)


def row_encoder(table: UnifiedTable, columns: Sequence[str]) -> Callable[[UnifiedBase], bytes]:
    """How to encode a record's values of some columns.

    Args:
        table: Whose records.
        columns: Names of at least two of its columns.

    Returns:
        A function of a record. It raises ValueError or struct.error for a value that can't be encoded.
    """
    types = {column.name: column.type for column in table.columns}
    values = attrgetter(*columns)
    encoders = [_ENCODERS[types[name]] for name in columns]

    def encode(record: UnifiedBase) -> bytes:
        return b"".join(
            [
                _NULL if value is None else encoder(value)
                for encoder, value in zip(encoders, values(record), strict=True)
            ]
        )

    return encode


def copied_row(count: int, encoded: bytes, raw: bytes | memoryview, content_hash: int) -> bytes:
    """A whole row.

    Args:
        count: Of its columns.
        encoded: All but the last three, from :func:`row_encoder`.
        raw: For the first of these, of type ``json``, or compressed for the second, of type ``bytea``.
        content_hash: For the last, of type ``bigint``.
    """
    length = _LENGTH.pack(len(raw))
    form = (_NULL, length, raw) if isinstance(raw, Compressed) else (length, raw, _NULL)
    return b"".join((_COUNT.pack(count), encoded, *form, _INT8.pack(8, content_hash)))


def values_of(encoded: bytes) -> Iterator[bytes]:
    """The columns of an encoded row, each with its length before it."""
    place = 0
    while place < len(encoded):
        (length,) = _LENGTH.unpack_from(encoded, place)
        end = place + _LENGTH.size + max(length, 0)
        yield encoded[place:end]
        place = end


def text_of(encoded: bytes, place: int) -> str | None:
    """The text that stands at a place among the columns of an encoded row; None for null."""
    value = next(islice(values_of(encoded), place, None))
    return None if value == _NULL else value[_LENGTH.size :].decode()


def _sized(data: bytes | bytearray | memoryview) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def _timestamptz(value: datetime) -> bytes:
    return _INT8.pack(8, (value - _EPOCH) // _MICROSECOND)


def _numeric(value: Decimal) -> bytes:
    return _digits(str(value))


# A record has the same amounts several times. By their digits: 1.0 and 1.00 are equal, and written as they are.
@lru_cache(maxsize=256)
def _digits(text: str) -> bytes:
    data = _decimal_dumper.dump(Decimal(text))
    assert data is not None  # noqa: S101 - it is None for nulls only
    return _sized(data)


def _jsonb(value: Any) -> bytes:
    if not value:
        return _EMPTY_JSONB[type(value)]
    # Pydantic's takes twice as long for models, msgspec's takes infinity in what sources made up for null.
    encode = to_json if type(value) is dict else _model_json
    return _sized(_JSONB_VERSION + encode(value))


def _text_array(items: tuple[str, ...]) -> bytes:
    if not items:
        return _EMPTY_ARRAY
    parts = [_ARRAY.pack(1, 0, _TEXT_OID), _DIMENSION.pack(len(items), 1), *map(_text, items)]
    return _sized(b"".join(parts))


_EMPTY_ARRAY = _sized(_ARRAY.pack(0, 0, _TEXT_OID))
_EMPTY_JSONB: dict[type, bytes] = {
    dict: _sized(_JSONB_VERSION + b"{}"),
    tuple: _sized(_JSONB_VERSION + b"[]"),
}
_BOOLEANS = {False: _sized(b"\0"), True: _sized(b"\1")}
_UUID_LENGTH = _LENGTH.pack(16)

_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "bigint": lambda value: _INT8.pack(8, value),
    "boolean": _BOOLEANS.__getitem__,
    "json": lambda value: _sized(to_json(value)),
    "jsonb": _jsonb,
    "numeric": _numeric,
    "text": _text,
    "text[]": _text_array,
    "timestamptz": _timestamptz,
    "uuid": lambda value: _UUID_LENGTH + value.bytes,
}
