"""What waits behind the inbox's horizon: events that are stored and can't be read yet, and what keeps them.

A drain stops before the oldest transaction that is still open anywhere on the server, in whatever database, since
PostgreSQL gives out transaction ids for all of them together. Why it does: `unified.store.positions`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.inbox.backlog import MOST_COUNTED

PATIENCE = timedelta(seconds=5)
"""Nothing is held up that was received so lately: each event waits for a moment for those that came with it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a connection has behind the horizon.

    Attributes:
        connection: Its key.
        events: How many events, counted up to ``MOST_COUNTED``.
        oldest_at: When the first of them was received.
    """

    connection: str
    events: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class HeldUp:
    """What waits, and for what.

    Attributes:
        connections: By their ids.
        by: The transaction that all of it waits for, and how to end it.
    """

    connections: Mapping[UUID, Held]
    by: str


async def held_up(
    conn: AsyncConnection[Any], connector: str | None = None, *, workspace_id: UUID | None = None
) -> HeldUp | None:
    """Events that are held up, and by what.

    Args:
        conn: A transaction of the scheduler's role.
        connector: Of whose connections; by default of all.
        workspace_id: Of this workspace's connections only.

    Returns:
        None where nothing is.
    """
    # Nothing can be behind the horizon while no transaction is open, which needs no look at the inbox.
    result = await conn.execute(
        """
        SELECT c.id, w.slug || '/' || c.name, i.events, i.oldest_at
        FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS events, min(received_at) AS oldest_at FROM (
                SELECT received_at FROM webhook_inbox AS i
                WHERE (i.workspace_id, i.connection_id) = (c.workspace_id, c.id)
                    AND i.xid >= pg_snapshot_xmin(pg_current_snapshot())
                    AND i.received_at < clock_timestamp() - %(patience)s
                LIMIT %(most)s
            ) AS held
        ) AS i
        WHERE pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmax(pg_current_snapshot())
            AND (%(connector)s::text IS NULL OR c.connector = %(connector)s) AND i.events > 0
            AND (%(workspace)s::uuid IS NULL OR c.workspace_id = %(workspace)s)
        ORDER BY i.oldest_at
        """,
        {"connector": connector, "workspace": workspace_id, "patience": PATIENCE, "most": MOST_COUNTED},
    )
    held = {connection_id: Held(*rest) for connection_id, *rest in await result.fetchall()}
    return HeldUp(held, await _holder(conn)) if held else None


async def _holder(conn: AsyncConnection[Any]) -> str:
    """The oldest transaction that is open."""
    result = await conn.execute(
        """
        SELECT l.pid, a.application_name, a.usename, a.datname, p.gid, p.database
        FROM pg_locks AS l
        LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
        LEFT JOIN pg_prepared_xacts AS p ON p.transaction = l.transactionid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
            AND l.transactionid = pg_snapshot_xmin(pg_current_snapshot())::xid
        """
    )
    row = await result.fetchone()
    if row is None:
        return "a transaction that has ended since"
    pid, application, user, database, gid, prepared_in = row
    if gid is not None:
        return f"the prepared transaction {gid} in the database {prepared_in}; COMMIT PREPARED or ROLLBACK PREPARED it"
    return (
        f"the open transaction of pid {pid} ({application or 'no application_name'}, of {user}, in the database "
        f"{database}); end it, or SELECT pg_terminate_backend({pid})"
    )
