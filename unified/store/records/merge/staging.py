"""Rows on their way into a staging table by binary COPY, and which of them PostgreSQL can't hold.

Which statement merges them from there: `unified.store.records.merge.batches`.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import psycopg
from psycopg import AsyncCursor, sql

from unified.store.records.merge import merge_sql
from unified.store.records.merge.contents import Row, unstorable
from unified.store.records.merge.rows import HEADER, TRAILER, copied_row, text_of, values_of
from unified.store.records.raw.forms import PERSON, Form
from unified.store.records.raw.shapes import Sample
from unified.store.records.tables import UnifiedTable

_COUNT = struct.Struct("!H")
_PART = 256 * 1024


async def copy(cursor: AsyncCursor[Any], table: UnifiedTable, rows: Sequence[Row], form: Form) -> None:
    """Copy rows into the staging table of their table.

    Args:
        cursor: Of a transaction, which can go on after an error.
        table: Whose rows.
        rows: Which.
        form: Of their raw records.

    Raises:
        RecordError: If PostgreSQL can't hold a value of one of them.
    """
    columns = merge_sql.staged_columns(table)
    try:
        async with cursor.connection.transaction():
            await _copy(cursor, table, columns, (_row(len(columns), row, form) for row in rows))
    except psycopg.DataError as error:
        place, column = await _find_unusable(cursor, table, rows, form)
        raise unstorable(rows[place].source_id, column, error.diag.message_primary) from None


def samples(table: UnifiedTable, rows: Iterable[Row]) -> Iterator[Sample]:
    """Rows as what a dictionary may be made of, each with whom it is about."""
    column = PERSON.get(table.entity)
    place = merge_sql.staged_columns(table).index(column) if column else None
    return (Sample(row.raw, None if place is None else text_of(row.encoded, place)) for row in rows)


async def _find_unusable(
    cursor: AsyncCursor[Any], table: UnifiedTable, rows: Sequence[Row], form: Form
) -> tuple[int, str | None]:
    """Find the first row that PostgreSQL can't hold, by copying parts of them and taking that back.

    Where a COPY failed, PostgreSQL says in a sentence of the server's language (``lc_messages``), and nowhere else.

    Returns:
        Its index, and the column that is refused, where that is one by itself.
    """
    columns = merge_sql.staged_columns(table)
    low, high = 0, len(rows)
    while high - low > 1:
        middle = (low + high) // 2
        encoded = (_row(len(columns), row, form) for row in rows[low:middle])
        if await _is_usable(cursor, table, columns, encoded):
            low = middle
        else:
            high = middle
    for name, value in zip(
        columns, values_of(_row(len(columns), rows[low], form)[_COUNT.size :]), strict=True
    ):
        if not await _is_usable(cursor, table, [name], [_COUNT.pack(1) + value]):
            return low, name
    return low, None


async def _is_usable(
    cursor: AsyncCursor[Any], table: UnifiedTable, columns: Sequence[str], encoded: Iterable[bytes]
) -> bool:
    try:
        async with cursor.connection.transaction(force_rollback=True):
            await _copy(cursor, table, columns, encoded)
    except psycopg.DataError:
        return False
    return True


async def _copy(
    cursor: AsyncCursor[Any], table: UnifiedTable, columns: Sequence[str], encoded: Iterable[bytes]
) -> None:
    statement = sql.SQL("COPY {staging} ({names}) FROM STDIN (FORMAT BINARY)").format(
        staging=merge_sql.names(table)["staging"], names=sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    async with cursor.copy(statement) as copied:
        for part in _parts(chain([HEADER], encoded, [TRAILER])):
            await copied.write(part)


def _parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: each is waited for by itself, which for a row takes longer than the row."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= _PART:
            yield b"".join(part)
            part, size = [], 0
    yield b"".join(part)


def _row(columns: int, row: Row, form: Form) -> bytes:
    return copied_row(columns, row.encoded, form(row.raw), row.content_hash)
