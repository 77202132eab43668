"""What is stored already, as a commit compares its rows with it.

As a rule a row's hash says whether anything changed. Where it is another one, the stored bytes are read.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import AsyncConnection, sql

from unified.store.records import tables
from unified.store.records.merge import merge_sql
from unified.store.records.merge.contents import Row, ids_of
from unified.store.records.merge.deletions import Execute
from unified.store.records.tables import StreamKey

IsStored = Callable[[bytes | memoryview, bytes, int], bool]
"""Whether a record's JSON text says what another one, that is stored with a hash, says, and was mapped as now."""


async def known_hashes(
    conn: AsyncConnection[Any], key: StreamKey, ids: Sequence[str], *, lock: bool = False
) -> dict[str, int]:
    """The hashes of those records that are stored and not deleted, to leave out what did not change.

    Args:
        conn: A transaction of the key's workspace.
        key: Which stream.
        ids: Source ids to look up.
        lock: Whether the rows stay as they are until the transaction ends.

    Returns:
        Hashes by source id; ids that are not stored are missing.
    """
    query = sql.SQL(
        "SELECT source_id, content_hash FROM {} "
        "WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)b::text[]) "
        "AND deleted_at IS NULL AND schema_version = %(version)s{}"
    ).format(key.leaf, sql.SQL(" ORDER BY source_id FOR NO KEY UPDATE" if lock else ""))
    values = key.parameters() | {"ids": list(ids), "version": key.table.version}
    rows = await (await conn.execute(query, values)).fetchall()
    return dict(rows)


async def with_stored_hashes(
    conn: AsyncConnection[Any], key: StreamKey, rows: list[Row], is_stored: IsStored
) -> list[Row]:
    """Give rows that are stored in other bytes the hash of those, by which the merge leaves them as they are.

    What is stored is locked from the look on.
    """
    stored = await known_hashes(conn, key, ids_of(rows), lock=True) if rows else {}
    doubtful = [
        row.source_id for row in rows if row.content_hash != stored.get(row.source_id, row.content_hash)
    ]
    if not doubtful:
        return rows
    bodies = await tables.bodies(conn, key, doubtful)

    def settled(row: Row) -> Row:
        body = bodies.get(row.source_id)
        if body is None or not is_stored(row.raw, body, stored[row.source_id]):
            return row
        return row._replace(content_hash=stored[row.source_id])

    return await asyncio.to_thread(lambda: [settled(row) for row in rows])


async def same_bytes(
    execute: Execute, key: StreamKey, rows: Sequence[Row], *, compresses: bool, is_known: bool
) -> list[str]:
    """Which rows are stored in the same bytes already, of those where SQL does not see it; all are locked.

    Args:
        execute: Runs a statement.
        key: Which stream.
        rows: What is about to be stored.
        compresses: Whether it will be compressed.
        is_known: Whether what was observed at the same time is the same state, so that no bytes have to say it.
    """
    stored = await execute(merge_sql.LOCK_STORED, ids=ids_of(rows), compresses=compresses)
    observed = {row.source_id: row.observed_at for row in rows} if is_known else {}
    unseen = [
        source_id
        for source_id, is_unseen, observed_at in await stored.fetchall()
        if is_unseen and observed.get(source_id) != observed_at
    ]
    if not unseen:
        return []
    bodies = await tables.bodies(stored.connection, key, unseen)
    return [row.source_id for row in rows if bodies.get(row.source_id) == row.raw]
