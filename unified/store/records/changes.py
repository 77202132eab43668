"""Which customers changed since: the log that every commit of rows adds to, read in an order that misses nothing.

`unified.store.records.merge.batches` writes it with the rows. Who reads it keeps a :class:`Position` of its own.
How long it is kept is `unified.store.inbox.retention`'s; a reader that comes later than ``KEPT`` reads all
customers instead.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.positions import Position

KEPT = timedelta(days=7)
"""How long a change can be read."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What one statement changed.

    Attributes:
        position: Its place in the log.
        source_ids: Customers that are new, different or deleted; some thousand at most.
    """

    position: Position
    source_ids: list[str]


async def horizon(conn: AsyncConnection[Any]) -> Position:
    """The place behind which no change can appear any more: a reader of all customers continues from there."""
    row = await (await conn.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")).fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression gives one row
    return Position(row[0], 0)


async def read(
    conn: AsyncConnection[Any], connection_id: UUID, stream: str, after: Position, *, limit: int
) -> tuple[list[Changed], Position]:
    """A stream's next changes, none of which another one can come before any more.

    Args:
        conn: A transaction of the workspace.
        connection_id: Whose customers.
        stream: Of which stream.
        after: The last change dealt with.
        limit: How many statements' changes at most.

    Returns:
        Changes in the log's order, and where to go on once they are dealt with: behind the last of them, or, where
        these are all, at the horizon.
    """
    result = await conn.execute(
        """
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text, c.xid::text, c.id, c.source_ids
        FROM (SELECT) AS once LEFT JOIN LATERAL (
            SELECT xid, id, source_ids FROM customer_changes
            WHERE workspace_id = current_workspace() AND connection_id = %(connection)s AND stream = %(stream)s
                AND (xid, id) > (%(xid)s::text::xid8, %(id)s::bigint)
                AND xid < pg_snapshot_xmin(pg_current_snapshot())
            ORDER BY xid, id LIMIT %(limit)s
        ) AS c ON true
        ORDER BY c.xid, c.id
        """,
        {"connection": connection_id, "stream": stream, "xid": after.xid, "id": after.id, "limit": limit},
    )
    rows = await result.fetchall()
    found = [Changed(Position(xid, number), ids) for _, xid, number, ids in rows if xid is not None]
    return found, found[-1].position if len(found) == limit else Position(rows[0][0], 0)
