"""How far a provider was told whose data are kept, beside the stream's cursor; and who is to be named next.

What a report is and what follows from it: :mod:`unified.sync.reporting`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection, sql

from unified.kit.reading.people import Person
from unified.store.records.tables import StreamKey


@dataclass(frozen=True, slots=True)
class Cycle:
    """Once through all people of a stream.

    Attributes:
        began_at: When its first ones were named.
        every: How long it lasts: a person is named once in it.
        due_at: When to go on.
        after: The id up to which all were named; None once that is all of them, and a cycle begins at ``due_at``.
        error: Why it does not go on, where it should have.
    """

    began_at: datetime
    every: timedelta
    due_at: datetime
    after: str | None = ""
    error: str | None = None


async def load(conn: AsyncConnection[Any], key: StreamKey) -> Cycle | None:
    """How far a stream is; None where nobody was named yet."""
    result = await conn.execute(
        "SELECT report::text FROM cursors WHERE connector_config_id = %(connection)s AND stream = %(stream)s",
        key.parameters(),
    )
    row = await result.fetchone()
    if row is None or row[0] is None:
        return None
    return msgspec.json.decode(row[0], type=Cycle)


async def save(conn: AsyncConnection[Any], key: StreamKey, cycle: Cycle) -> None:
    """Keep how far a stream is; without a cursor there is nobody to name."""
    await conn.execute(
        "UPDATE cursors SET report = %(report)s::jsonb"
        " WHERE connector_config_id = %(connection)s AND stream = %(stream)s",
        key.parameters() | {"report": msgspec.json.encode(cycle).decode()},
    )


async def forget(conn: AsyncConnection[Any], key: StreamKey) -> None:
    """Forget how far a stream is, where nothing is reported of it any more."""
    await conn.execute(
        "UPDATE cursors SET report = NULL"
        " WHERE connector_config_id = %(connection)s AND stream = %(stream)s AND report IS NOT NULL",
        key.parameters(),
    )


async def people(conn: AsyncConnection[Any], key: StreamKey, after: str, *, limit: int) -> list[Person]:
    """People of a stream whose data are kept, in the order of their ids, some at a time.

    Deleted ones are among them, as a tombstone keeps what was known; those whose data were deleted for privacy are not.
    Each was read when the row was written, or by the last full refresh, which leaves unchanged rows as they are.
    """
    statement = sql.SQL(
        """
        SELECT t.source_id, greatest(t.observed_at, CASE WHEN t.deleted_at IS NULL THEN c.refreshed_at END)
        FROM {leaf} AS t
        JOIN cursors AS c ON c.connector_config_id = t.connection_id AND c.stream = t.stream
        WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id > %(after)s
            AND NOT EXISTS (
                SELECT FROM suppressed_records AS s
                WHERE (s.connector_config_id, s.stream, s.source_id) = (t.connection_id, t.stream, t.source_id)
            )
        ORDER BY t.source_id LIMIT %(limit)s
        """
    ).format(leaf=key.leaf)
    result = await conn.execute(statement, key.parameters() | {"after": after, "limit": limit})
    return [Person(*row) for row in await result.fetchall()]
