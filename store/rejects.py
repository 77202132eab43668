"""Raw records that could not become unified ones, with the reason. :mod:`store.batches` keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from store.tables import READ_CHUNK, StreamKey


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
