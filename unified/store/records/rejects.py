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
