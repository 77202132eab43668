"""Raw records compressed and opened again, and the dictionaries that this takes.

A compressed record stands in ``raw_compressed``, and ``raw_data`` is null then: the id of its dictionary as eight
bytes, the first of them 0, which no JSON text begins with; then a frame of zstd. A dictionary is of one stream of one
connection, is never changed, and holds nothing that is one person's (:mod:`unified.store.records.raw.shapes`). A frame
ends with a checksum: what is damaged is never taken for a record.
"""

import asyncio
import logging
import secrets
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from backports import zstd
from psycopg import AsyncConnection, sql

from unified.schema.entities import CUSTOMERS, INVOICES
from unified.store.records.raw import json_text, shapes
from unified.store.records.raw.shapes import Sample

KEPT = sql.SQL("coalesce(raw_compressed, convert_to(raw_data::text, 'UTF8'))")
"""A row's raw record as :func:`opened` takes it; null where there is none."""

HAS_RAW = sql.SQL("(raw_data IS NOT NULL OR raw_compressed IS NOT NULL)")
"""Whether a row has one."""

PERSON = {CUSTOMERS: "email", INVOICES: "customer_id"}
"""The column that says whom a row is about, where one does."""

Form = Callable[[bytes | memoryview], bytes]
"""What a raw record is stored as: JSON that PostgreSQL reads (:func:`json_text.stored`), or compressed."""

_log = logging.getLogger(__name__)

_ID = struct.Struct("!q")
_LARGEST_ID = 2**55
_NO_DICTIONARY = 0
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: shapes.LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.dict_id_flag: 0,  # ours stands before the frame
}


class Compressed(bytes):
    """A raw record as ``raw_compressed`` holds it."""

    __slots__ = ()


async def opened(conn: AsyncConnection[Any], kept: Sequence[bytes]) -> list[bytes]:
    """JSON texts as they were received, of what :data:`KEPT` gave, in their order.

    One that can't be opened, as it is damaged or its dictionary is gone, is empty, which no JSON text is; the log says
    so. It never costs those beside it.

    Args:
        conn: A transaction of the workspace that they are of.
        kept: Of some rows; all is held in memory.
    """
    wanted = ids(kept)
    return open_with(await dictionaries(conn, wanted) if wanted else {}, kept)


def ids(kept: Iterable[bytes]) -> set[int]:
    """The ids of the dictionaries that it takes to open these."""
    return {_id_of(one) for one in kept if _is_compressed(one)} - {_NO_DICTIONARY}


async def dictionaries(conn: AsyncConnection[Any], wanted: Iterable[int] | None = None) -> dict[int, bytes]:
    """These dictionaries of a workspace, or all, by their ids; those that are gone are missing."""
    query = "SELECT id, body FROM raw_dictionaries WHERE %(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s)"
    rows = await conn.execute(query, {"ids": None if wanted is None else list(wanted)})
    return dict(await rows.fetchall())


def open_with(bodies: Mapping[int, bytes], kept: Sequence[bytes]) -> list[bytes]:
    """The same as :func:`opened`, with dictionaries from :func:`dictionaries`."""
    found = [_opened(bodies, one) if _is_compressed(one) else json_text.received(one) for one in kept]
    if lost := found.count(b""):
        _log.warning(
            "%d of %d raw records can't be opened: they are damaged, or their dictionary is gone; see docs/tables.md",
            lost,
            len(found),
        )
    return found


def _opened(bodies: Mapping[int, bytes], kept: bytes) -> bytes:
    try:
        return zstd.decompress(memoryview(kept)[_ID.size :], zstd_dict=_loaded(bodies.get(_id_of(kept))))
    except (zstd.ZstdError, ValueError):  # the latter of a damaged dictionary
        return b""


class Compressor:
    """Compresses records, those of one stream by its dictionary."""

    def __init__(self, dictionary_id: int = _NO_DICTIONARY, body: bytes | None = None) -> None:
        self._begin = _ID.pack(dictionary_id)
        self._zstd = zstd.ZstdCompressor(options=_OPTIONS, zstd_dict=_loaded(body))

    def __call__(self, raw: bytes | memoryview) -> Compressed:
        """A record as it is stored."""
        return Compressed(self._begin + self._zstd.compress(raw, self._zstd.FLUSH_FRAME))


async def compressor(
    conn: AsyncConnection[Any],
    connection_id: UUID,
    stream: str,
    sample: Iterable[Sample],
) -> Compressor:
    """What compresses records of a stream from now on: by its newest dictionary, or by a first one.

    Two that begin at a time make a dictionary each. They may: a record says which is its own.

    Args:
        conn: A transaction of the workspace.
        connection_id: The connection.
        stream: Which of its streams.
        sample: Records that a dictionary may be made of, each in one state; asked for where there is none. Where they
            are too few, there is none yet.
    """
    rows = await conn.execute(
        """
        SELECT id, body FROM raw_dictionaries WHERE connector_config_id = %s AND stream = %s
        ORDER BY made_at DESC LIMIT 1
        """,
        (connection_id, stream),
    )
    if found := await rows.fetchone():
        return Compressor(*found)
    small = [one for one in sample if len(one.raw) <= shapes.LARGEST]
    if len(small) < shapes.FEWEST:
        return Compressor()
    step = -(-len(small) // shapes.MOST)
    return await _made(conn, connection_id, stream, small[::step])


async def _made(
    conn: AsyncConnection[Any], connection_id: UUID, stream: str, records: Sequence[Sample]
) -> Compressor:
    body, new_id = await asyncio.to_thread(shapes.dictionary, records), 1 + secrets.randbelow(_LARGEST_ID)
    await conn.execute(
        """
        INSERT INTO raw_dictionaries (id, workspace_id, connector_config_id, stream, body)
        SELECT %s, workspace_id, id, %s, %s FROM connector_configs WHERE id = %s
        """,
        (new_id, stream, body, connection_id),
    )
    return Compressor(new_id, body)


def _is_compressed(kept: bytes) -> bool:
    return kept[:1] == b"\0"


def _id_of(kept: bytes) -> int:
    return int.from_bytes(kept[: _ID.size])


@lru_cache(64)
def _loaded(body: bytes | None) -> zstd.ZstdDict | None:
    """A dictionary, prepared once: it is for each record that time counts."""
    return None if body is None else zstd.ZstdDict(body)
