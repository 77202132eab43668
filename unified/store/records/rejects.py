"""Raw records that could not become unified ones, with the reason.

:mod:`unified.store.records.merge.batches` keeps them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from unified.store.records.tables import READ_CHUNK, StreamKey
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True)
class StoredReject:
    """A reject.

    Attributes:
        key: Its source id, or a hash of its bytes.
        source_id: Its id in its source, or None where it has no readable one.
        raw: The bytes as received.
        error: Why it can't be mapped.
        observed_at: When the newest of it was read.
        first_seen_at: When it was first set aside.
        last_seen_at: When it was last met.
    """

    key: str
    source_id: str | None
    raw: bytes
    error: str
    observed_at: datetime
    first_seen_at: datetime
    last_seen_at: datetime


async def read(
    connection: AsyncConnection[Any], key: StreamKey, *, after: str = "", limit: int = READ_CHUNK
) -> list[StoredReject]:
    """Read a stream's rejects.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        after: Key of the last one read so far.
        limit: How many at most.

    Returns:
        Rejects by ascending key; fewer than ``limit`` means that these are the last.
    """
    result = await connection.execute(
        """
        SELECT record_key, source_id, raw, error, observed_at, first_seen_at, last_seen_at FROM rejects
        WHERE connector_config_id = %(connection)s AND stream = %(stream)s AND record_key > %(after)s
        ORDER BY record_key LIMIT %(limit)s
        """,
        key.parameters() | {"after": after, "limit": limit},
    )
    return [StoredReject(*row) for row in await result.fetchall()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedReject:
    """A reject, for people.

    Attributes:
        stream: Which stream it came with.
        key: See :class:`StoredReject`, for this and the rest.
        source_id: Its id in its source.
        error: Why it can't be mapped.
        first_seen_at: When it was first set aside.
        last_seen_at: When it was last met.
        raw: The bytes as received, which may hold anything about anybody; None unless they were asked for.
    """

    stream: str
    key: str
    source_id: str | None
    error: str
    first_seen_at: datetime
    last_seen_at: datetime
    raw: bytes | None


async def listed(
    connection: AsyncConnection[Any],
    connection_id: UUID,
    *,
    stream: str | None = None,
    after: tuple[str, str] | None = None,
    with_raw: bool = False,
    limit: int = 100,
) -> list[ListedReject]:
    """A page of a connection's rejects, by stream and key.

    Args:
        connection: A transaction of its workspace.
        connection_id: Which connection.
        stream: Only this stream's.
        after: Stream and key of the last one read so far.
        with_raw: Whether to read the raw records as well.
        limit: How many at most.
    """
    async with connection.cursor(row_factory=class_row(ListedReject)) as cursor:
        await cursor.execute(
            """
            SELECT stream, record_key AS key, source_id, error, first_seen_at, last_seen_at,
                CASE WHEN %(with_raw)s THEN raw END AS raw
            FROM rejects
            WHERE connector_config_id = %(connection)s AND (%(stream)s::text IS NULL OR stream = %(stream)s)
                AND (%(after_stream)s::text IS NULL OR (stream, record_key) > (%(after_stream)s, %(after_key)s))
            ORDER BY stream, record_key LIMIT %(limit)s
            """,
            {
                "connection": connection_id,
                "stream": stream,
                "with_raw": with_raw,
                "after_stream": after[0] if after else None,
                "after_key": after[1] if after else None,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedReject:
    """A reject among those of all connections.

    Attributes:
        connection_id: Whose it is.
        stream: See :class:`ListedReject`, for this and the rest.
        key: Which one.
        source_id: Its id in its source.
        error: Why it can't be mapped.
        first_seen_at: When it was first set aside.
        last_seen_at: When it was last met.
    """

    connection_id: UUID
    stream: str
    key: str
    source_id: str | None
    error: str
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class RejectCount:
    """How many rejects a connection has of a stream.

    Attributes:
        connection_id: The connection.
        stream: The stream.
        rejects: How many.
        last_seen_at: When the newest of them was met.
    """

    connection_id: UUID
    stream: str
    rejects: int
    last_seen_at: datetime


async def of_workspace(
    conn: AsyncConnection[Any],
    *,
    connection_id: UUID | None = None,
    stream: str | None = None,
    after: tuple[UUID, str, str] | None = None,
    limit: int = 100,
) -> list[PlacedReject]:
    """A page of a workspace's rejects, by connection, stream and key.

    Args:
        conn: A transaction of the workspace.
        connection_id: Only this connection's.
        stream: Only streams of this name.
        after: Connection, stream and key of the last one read so far.
        limit: How many at most.
    """
    former_connection, former_stream, former_key = after or (None, None, None)
    return await fetch(
        conn,
        PlacedReject,
        """
        SELECT connector_config_id AS connection_id, stream, record_key AS key, source_id, error, first_seen_at,
            last_seen_at
        FROM rejects
        WHERE (%(connection)s::uuid IS NULL OR connector_config_id = %(connection)s)
            AND (%(stream)s::text IS NULL OR stream = %(stream)s)
            AND (%(former)s::uuid IS NULL OR (connector_config_id, stream, record_key)
                > (%(former)s::uuid, %(former_stream)s::text, %(former_key)s::text))
        ORDER BY connector_config_id, stream, record_key LIMIT %(limit)s
        """,
        connection=connection_id,
        stream=stream,
        former=former_connection,
        former_stream=former_stream,
        former_key=former_key,
        limit=limit,
    )


async def counts(conn: AsyncConnection[Any], *, limit: int) -> list[RejectCount]:
    """The streams with the most rejects in a workspace, by how many; at most ``limit``."""
    return await fetch(
        conn,
        RejectCount,
        """
        SELECT connector_config_id AS connection_id, stream, count(*) AS rejects, max(last_seen_at) AS last_seen_at
        FROM rejects GROUP BY connector_config_id, stream
        ORDER BY rejects DESC, connector_config_id, stream LIMIT %(limit)s
        """,
        limit=limit,
    )
