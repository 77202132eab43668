"""What waits in the inboxes: events that can be applied, and dead letters whose time has come.

What can't be applied yet, as a transaction is open, is counted by :mod:`unified.store.inbox.horizon`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection

from unified.store.connections import waits
from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.inbox.progress import Trouble, trouble_of
from unified.store.rows import fetch

# How far `waiting` counts: enough to see that there is much, little enough to look often.
MOST_COUNTED = 1_000

EVER = datetime.min.replace(tzinfo=UTC)
"""Before any event was received."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a connection has waiting; no event can be seen from here.

    Attributes:
        connection: Which connection.
        events: Events that can be applied, counted up to ``MOST_COUNTED``.
        oldest_at: When the first of them was received.
        letters: Dead letters whose time has come, counted likewise.
        trouble: Set while the connection can't be used; then all wait for ``retry_at``, else for what the connection
            waits for.
    """

    connection: ConnectionSummary
    events: int
    oldest_at: datetime | None
    letters: int
    trouble: Trouble | None

    @property
    def held_until(self) -> datetime | None:
        """Until when a drain leaves the connection alone."""
        return self.trouble.retry_at if self.trouble else self.connection.waits_until

    def is_due(self, now: datetime) -> bool:
        """Whether a drain has something to do here."""
        return (self.events or self.letters) > 0 and (self.held_until is None or self.held_until <= now)


async def pulse(db: Database, connectors: Collection[str]) -> int | None:
    """A number that rises with each event received, of whichever connection.

    It costs next to nothing to look at. An event is numbered before it is committed, and readable some time after that.

    Args:
        db: Where.
        connectors: None is returned where none of them has a connection.
    """
    async with db.scheduler() as conn:
        result = await conn.execute(
            """
            -- The value is 1 before the first one is taken, too.
            SELECT last_value + is_called::int FROM webhook_inbox_id
            WHERE EXISTS (SELECT FROM connector_configs WHERE connector = ANY(%s))
            """,
            (list(connectors),),
        )
        row = await result.fetchone()
    return row[0] if row else None


async def waiting(
    db: Database, connector: str, now: datetime, *, received_since: datetime = EVER
) -> list[Waiting]:
    """What waits for a drain of one connector; see :func:`waiting_of`."""
    return await waiting_of(db, [connector], now, received_since=received_since)


async def waiting_of(
    db: Database, connectors: Collection[str], now: datetime, *, received_since: datetime = EVER
) -> list[Waiting]:
    """What waits for a drain, connection by connection: counts and ages, as the scheduler's role may see.

    Args:
        db: Where.
        connectors: Of whose connections.
        now: Dead letters are counted that are due by then.
        received_since: Look at events received since then only. A time of today spares most partitions, which is
            for who looks several times a second.

    Returns:
        Connections that have something waiting, those in trouble too, the oldest event first.
    """
    async with db.scheduler() as conn:
        return await _waiting(conn, now, received_since, list(connectors))


async def waiting_in(conn: AsyncConnection[Any], now: datetime) -> list[Waiting]:
    """What waits in one workspace, in a transaction of its own; see :func:`waiting`."""
    return await _waiting(conn, now, EVER, None)


async def _waiting(
    conn: AsyncConnection[Any], now: datetime, received_since: datetime, connectors: list[str] | None
) -> list[Waiting]:
    # CASE and not coalesce(), which PostgreSQL does not take for leakproof: behind a workspace's policy the comparison
    # would be no condition of the index, and all events that are kept would be read.
    result = await conn.execute(
        f"""
        SELECT c.id, i.events, i.oldest_at, l.letters, k.error, k.attempts, k.failing_since,
            greatest(k.next_attempt_at, {waits.until("%(now)s")})
        FROM connector_configs AS c
        LEFT JOIN inbox_cursors AS k ON (k.workspace_id, k.connection_id) = (c.workspace_id, c.id)
        CROSS JOIN LATERAL (
            SELECT count(*) AS events, min(received_at) AS oldest_at FROM (
                SELECT received_at FROM webhook_inbox AS i
                WHERE (i.workspace_id, i.connection_id) = (c.workspace_id, c.id)
                    AND (i.xid, i.id) > (
                        CASE WHEN k.xid IS NULL THEN '0' ELSE k.xid END, CASE WHEN k.id IS NULL THEN 0 ELSE k.id END)
                    AND i.xid < pg_snapshot_xmin(pg_current_snapshot())
                    AND i.received_at >= %(since)s
                ORDER BY i.xid, i.id LIMIT %(most)s
            ) AS first
        ) AS i
        CROSS JOIN LATERAL (
            SELECT count(*) AS letters FROM (
                SELECT FROM webhook_dead_letters AS d
                WHERE (d.workspace_id, d.connection_id) = (c.workspace_id, c.id)
                    AND d.state = 'waiting' AND d.next_attempt_at <= %(now)s
                LIMIT %(most)s
            ) AS due
        ) AS l
        WHERE (%(connectors)s::text[] IS NULL OR c.connector = ANY(%(connectors)s)) AND (i.events > 0 OR l.letters > 0)
        ORDER BY i.oldest_at NULLS LAST
        """,  # noqa: S608 - an expression of the store's own
        {"connectors": connectors, "now": now, "since": received_since, "most": MOST_COUNTED},
    )
    found = await result.fetchall()
    if not found:
        return []
    summaries = await fetch(
        conn, ConnectionSummary, SUMMARIES + " WHERE c.id = ANY(%(ids)s)", ids=[row[0] for row in found]
    )
    known = {summary.id: summary for summary in summaries}
    return [
        Waiting(known[connection_id], events, oldest_at, letters, trouble_of(*rest))
        for connection_id, events, oldest_at, letters, *rest in found
        if connection_id in known
    ]
