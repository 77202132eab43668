"""What each sync of a stream did: opened when it starts, counted up by its batches, closed when it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg import AsyncConnection, Connection
from psycopg.rows import class_row

from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.records.tables import StreamKey
from unified.store.rows import fetch
from unified.store.server.roles import SCHEDULER_ROLE

Mode = Literal["full", "incremental", "remap"]

_COLUMNS = """
    h.id, h.connector_config_id, h.stream, h.mode, h.run_id, h.started_at, h.finished_at, h.is_complete,
    h.records_read, h.inserted, h.updated, h.unchanged, h.rejected, h.deleted, h.requests, h.error_message
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRun:
    """One sync of one stream.

    Attributes:
        id: Row of ``sync_history``.
        connector_config_id: The connection.
        stream: Which stream.
        mode: Whether it read all, what changed, or the stored raw records.
        run_id: Dagster's run, where one did it.
        started_at: When it began.
        finished_at: When it ended; None while it runs, or if its process was killed.
        is_complete: Whether it reached the end of the stream.
        records_read: The sum of the next four.
        inserted: New records.
        updated: Changed ones.
        unchanged: Known ones.
        rejected: Records that could not be mapped.
        deleted: Live records that became tombstones.
        requests: HTTP requests it took.
        error_message: Why it ended early.
    """

    id: UUID
    connector_config_id: UUID
    stream: str
    mode: Mode
    run_id: str | None
    started_at: datetime
    finished_at: datetime | None
    is_complete: bool
    records_read: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    deleted: int
    requests: int
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedSync:
    """A sync that ended, of whatever workspace: counts, no record.

    Attributes:
        id: Row of ``sync_history``.
        connection: ``workspace/name``.
        stream: Which stream.
        mode: As of :class:`SyncRun`, like what follows.
        started_at: When it began.
        finished_at: When it ended.
        is_complete: Whether it reached the end of the stream.
        records_read: How many it read.
        inserted: New records.
        updated: Changed ones.
        rejected: Records that could not be mapped.
        deleted: Live records that became tombstones.
        error_message: Why it ended early.
    """

    id: UUID
    connection: str
    stream: str
    mode: Mode
    started_at: datetime
    finished_at: datetime
    is_complete: bool
    records_read: int
    inserted: int
    updated: int
    rejected: int
    deleted: int
    error_message: str | None


async def begin(database: Database, key: StreamKey, mode: Mode, run_id: str | None = None) -> UUID:
    """Open a row for a sync that begins.

    Args:
        database: Where.
        key: Which stream.
        mode: What kind of sync.
        run_id: Dagster's run, where one does it.

    Returns:
        Its id, for :class:`unified.store.records.merge.contents.Batch` and :func:`finish`.
    """
    history_id = uuid4()
    async with database.workspace(key.workspace_id) as connection:
        await connection.execute(
            """
            INSERT INTO sync_history (id, workspace_id, connector_config_id, stream, mode, run_id,
                changes_from, started_at)
            VALUES (%(id)s, %(workspace)s, %(connection)s, %(stream)s, %(mode)s, %(run)s,
                pg_snapshot_xmin(pg_current_snapshot()), clock_timestamp())  -- the snapshot is the earlier one
            """,
            key.parameters() | {"id": history_id, "mode": mode, "run": run_id},
        )
    return history_id


async def finish(
    database: Database,
    key: StreamKey,
    history_id: UUID,
    *,
    mode: Mode | None = None,
    is_complete: bool,
    requests: int = 0,
    error: str | None = None,
) -> None:
    """Close a sync's row.

    Args:
        database: Where.
        key: Which stream.
        history_id: From :func:`begin`.
        mode: What it turned out to be: changes that can't be followed any more become a full sync; None leaves it.
        is_complete: Whether it reached the end of the stream.
        requests: HTTP requests it took.
        error: Why it ended early.
    """
    async with database.workspace(key.workspace_id) as connection:
        await connection.execute(
            """
            UPDATE sync_history
            SET finished_at = now(), mode = coalesce(%s, mode), is_complete = %s, requests = %s, error_message = %s
            WHERE id = %s
            """,
            (mode, is_complete, requests, error, history_id),
        )


async def abandon(database: Database, connection: ConnectionSummary, run_id: str, error: str) -> int:
    """Close the rows that a run of Dagster's left open when it died.

    Args:
        database: Where.
        connection: Whose.
        run_id: The run; it must have ended.
        error: How it ended.

    Returns:
        How many there were.
    """
    async with database.workspace(connection.workspace_id) as transaction:
        result = await transaction.execute(
            """
            UPDATE sync_history SET finished_at = now(), error_message = %s
            WHERE connector_config_id = %s AND run_id = %s AND finished_at IS NULL
            """,
            (error, connection.id, run_id),
        )
        return result.rowcount


async def left_open(database: Database, run_id: str) -> list[ConnectionSummary]:
    """Connections of all workspaces that a run of Dagster's is, or was when it died, in the middle of syncing.

    Args:
        database: Where.
        run_id: The run.
    """
    condition = """
        WHERE c.id IN (
            SELECT connector_config_id FROM sync_history WHERE run_id = %(run)s AND finished_at IS NULL
        ) ORDER BY w.slug, c.name
    """
    async with database.scheduler() as connection:
        return await fetch(connection, ConnectionSummary, SUMMARIES + condition, run=run_id)


async def since(conn: AsyncConnection[Any], moments: Mapping[UUID, datetime]) -> list[SyncRun]:
    """What was pulled for some connections, each since a moment, in the order in which it began.

    Args:
        conn: A transaction of their workspace.
        moments: By connection.
    """
    query = f"""
        SELECT {_COLUMNS} FROM unnest(%(ids)s::uuid[], %(moments)s::timestamptz[]) AS asked (id, since)
        JOIN sync_history AS h ON h.connector_config_id = asked.id AND h.started_at >= asked.since
        WHERE h.mode <> 'remap' ORDER BY h.started_at, h.id
    """  # noqa: S608 - names of columns
    return await fetch(conn, SyncRun, query, ids=list(moments), moments=list(moments.values()))


async def recent(
    connection: AsyncConnection[Any],
    connection_id: UUID,
    *,
    stream: str | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 20,
) -> list[SyncRun]:
    """A connection's last syncs, newest first.

    Args:
        connection: A transaction of its workspace.
        connection_id: Which connection.
        stream: Only this stream.
        before: ``started_at`` and ``id`` of the last one read so far.
        limit: How many at most.
    """
    started_at, history_id = before or (None, None)
    async with connection.cursor(row_factory=class_row(SyncRun)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_COLUMNS} FROM sync_history AS h
            WHERE connector_config_id = %(connection)s AND (%(stream)s::text IS NULL OR stream = %(stream)s)
                AND (%(at)s::timestamptz IS NULL OR (started_at, id) < (%(at)s, %(id)s::uuid))
            ORDER BY started_at DESC, id DESC LIMIT %(limit)s
            """,  # noqa: S608 - names of columns
            {
                "connection": connection_id,
                "stream": stream,
                "at": started_at,
                "id": history_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


def finished(conn: Connection[Any], within: timedelta) -> list[FinishedSync]:
    """Syncs of all workspaces that ended of late, in the order in which they did.

    The history has no order by its end: connections are few, and each says when a sync of it last ended.

    Args:
        conn: A connection without a transaction, of a login that may become the scheduler.
        within: How long ago at most.
    """
    with conn.transaction(), conn.cursor(row_factory=class_row(FinishedSync)) as cursor:
        cursor.execute(f"SET LOCAL ROLE {SCHEDULER_ROLE}".encode())
        return cursor.execute(
            """
            SELECT h.id, w.slug || '/' || c.name AS connection, h.stream, h.mode, h.started_at, h.finished_at,
                h.is_complete, h.records_read, h.inserted, h.updated, h.rejected, h.deleted, h.error_message
            FROM connector_configs AS c
            JOIN workspaces AS w ON w.id = c.workspace_id
            JOIN sync_history AS h ON (h.workspace_id, h.connector_config_id) = (c.workspace_id, c.id)
            WHERE c.updated_at >= now() - %(within)s AND h.finished_at >= now() - %(within)s
                AND h.started_at >= now() - %(within)s - interval '1 day'
            ORDER BY h.finished_at, h.id
            """,
            {"within": within},
        ).fetchall()
