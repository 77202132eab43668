"""What a full refresh has not met: asked before it is buried (:mod:`unified.sync.burial`).

What a refresh meets is remembered, and buried, by :mod:`unified.store.records.merge.batches`.
"""

from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, sql

from unified.store.plans import avoid_nested_loops
from unified.store.records.tables import StreamKey

_UNMET = """
    FROM {leaf} AS t
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.deleted_at IS NULL
        AND t.observed_at < %(started)s AND NOT EXISTS (
            SELECT FROM (
                SELECT unnest(source_ids) AS source_id FROM refresh_seen
                WHERE connector_config_id = %(connection)s AND stream = %(stream)s AND refresh_started_at = %(started)s
            ) AS met WHERE met.source_id = t.source_id
        ) AND (%(since)s::timestamptz IS NULL OR t.created_at >= %(since)s)
"""


async def count_unmet(
    conn: AsyncConnection[Any], key: StreamKey, started_at: datetime, since: datetime | None
) -> tuple[int, int]:
    """How many live records a refresh that began then has not met, and how many there are in all.

    Where it asked for what was made ``since`` a time, it was not to meet what is older.
    """
    query = f"""
        SELECT (SELECT count(*) {_UNMET}), (
            SELECT count(*) FROM {{leaf}}
            WHERE connection_id = %(connection)s AND stream = %(stream)s AND deleted_at IS NULL
        )
    """  # noqa: S608 - from above
    await avoid_nested_loops(conn)
    result = await conn.execute(
        sql.SQL(query).format(leaf=key.leaf), key.parameters() | {"started": started_at, "since": since}
    )
    row = await result.fetchone()
    return (row[0], row[1]) if row else (0, 0)


async def unmet(
    conn: AsyncConnection[Any],
    key: StreamKey,
    started_at: datetime,
    since: datetime | None,
    *,
    after: str,
    limit: int,
) -> list[str]:
    """Source ids of live records that a refresh that began then has not met, in order, behind one of them."""
    query = f"SELECT t.source_id {_UNMET} AND t.source_id > %(after)s ORDER BY t.source_id LIMIT %(limit)s"
    await avoid_nested_loops(conn)
    values = key.parameters() | {"started": started_at, "since": since, "after": after, "limit": limit}
    result = await conn.execute(sql.SQL(query).format(leaf=key.leaf), values)
    return [row[0] for row in await result.fetchall()]
