"""Requests to sync a connection now. One is kept with its connection until a run was asked for on its account.

A request that comes while another one waits joins it. The management API makes them, `sensors.requests` takes them up.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.connections.rows import SUMMARIES, ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A request that waits.

    Attributes:
        requested_at: When it was made, or the one that it joined.
        full: Whether to read everything anew instead of the changes only.
    """

    requested_at: datetime
    full: bool


@dataclass(frozen=True, slots=True)
class PendingSync:
    """A connection with a request that waits.

    Attributes:
        connection: Which connection.
        request: What is asked for.
    """

    connection: ConnectionSummary
    request: SyncRequest


async def request(conn: AsyncConnection[Any], connection_id: UUID, *, full: bool = False) -> SyncRequest:
    """Ask for a sync of a connection, as part of the caller's transaction.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
        full: Read everything anew; a request that is joined becomes full as well.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    result = await conn.execute(
        """
        UPDATE connector_configs
        SET sync_requested_full = %s OR (sync_requested_full AND sync_requested_at IS NOT NULL),
            sync_requested_at = coalesce(sync_requested_at, clock_timestamp())
        WHERE id = %s RETURNING sync_requested_at, sync_requested_full
        """,
        (full, connection_id),
    )
    if (row := await result.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    return SyncRequest(*row)


async def pending(db: Database, limit: int = 100) -> list[PendingSync]:
    """What waits in all workspaces, the longest waiting first; connections that nobody approved yet are left out.

    Args:
        db: Where.
        limit: How many at most.
    """
    async with db.scheduler() as conn:
        result = await conn.execute(
            """
            SELECT id, sync_requested_at, sync_requested_full FROM connector_configs
            WHERE sync_requested_at IS NOT NULL AND approval = 'approved' ORDER BY sync_requested_at LIMIT %s
            """,
            (limit,),
        )
        requests = {row[0]: SyncRequest(*row[1:]) for row in await result.fetchall()}
        if not requests:
            return []
        summaries = await fetch(
            conn, ConnectionSummary, SUMMARIES + " WHERE c.id = ANY(%(ids)s)", ids=list(requests)
        )
    found = [PendingSync(summary, requests[summary.id]) for summary in summaries]
    return sorted(found, key=lambda one: one.request.requested_at)


async def settle(db: Database, one: PendingSync) -> None:
    """Forget a request for which a run was asked; one that was made or extended since then stays."""
    async with db.workspace(one.connection.workspace_id) as conn:
        await conn.execute(
            """
            UPDATE connector_configs SET sync_requested_at = NULL, sync_requested_full = false
            WHERE id = %s AND sync_requested_at = %s AND sync_requested_full = %s
            """,
            (one.connection.id, one.request.requested_at, one.request.full),
        )
