"""Where each stream's pull goes on from.

:mod:`unified.store.records.merge.batches` moves it, together with the rows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unified.store.database import Database
from unified.store.records.tables import StreamKey


@dataclass(frozen=True, slots=True)
class StoredCursor:
    """A committed cursor.

    Attributes:
        cursor: The adapter's own; opaque here.
        observed_at: Newest observation stored so far. The next pull's clock must not read less: with a clock
            that was set back, its records would look older than those stored and lose.
        refreshed_at: Start of the last full refresh that ran to its end; None before the first.
        updated_at: When it was committed.
        scope: The settings that say what is read, as they were; None where an earlier release made the cursor.
    """

    cursor: dict[str, Any]
    observed_at: datetime
    refreshed_at: datetime | None
    updated_at: datetime
    scope: str | None


async def load(database: Database, key: StreamKey) -> StoredCursor | None:
    """The stream's committed cursor, or None where nothing was pulled yet."""
    async with database.workspace(key.workspace_id) as connection:
        result = await connection.execute(
            """
            SELECT cursor, observed_at, refreshed_at, updated_at, scope FROM cursors
            WHERE connector_config_id = %(connection)s AND stream = %(stream)s
            """,
            key.parameters(),
        )
        row = await result.fetchone()
    return StoredCursor(*row) if row else None
