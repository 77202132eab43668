"""Stored records as today's models, one after the other."""

import json
from collections.abc import AsyncIterator
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from unified.schema import UnifiedBase
from unified.store.records.raw import forms
from unified.store.records.tables import StreamKey


async def read(
    conn: AsyncConnection[Any], key: StreamKey, *, with_deleted: bool = False
) -> AsyncIterator[UnifiedBase]:
    """Read a stream's records, ordered by source id.

    Args:
        conn: A transaction of the key's workspace.
        key: Which records.
        with_deleted: Whether tombstones come too. One that has no content never comes: it was only ever known as
            deleted, or its person's data were deleted.
    """
    query = sql.SQL(
        "SELECT * FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s "
        "AND (deleted_at IS NULL OR %(with_deleted)s AND {}) ORDER BY source_id"
    ).format(key.leaf, forms.HAS_RAW)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, key.parameters() | {"with_deleted": with_deleted})
        async for row in cursor:
            if kept := row["raw_compressed"]:
                (body,) = await forms.opened(conn, [kept])
                row["raw_data"] = json.loads(body) if body else None
            yield key.table.read_row(row)
