"""The one way from pages into a table: hash, leave out what is stored, map, commit."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from adapters.base import Page
from store import batches
from store.batches import Batch, MergeCounts, Reject
from store.database import Database
from store.errors import RecordError
from store.tables import StreamKey
from sync.mapping import Mapping


async def store_pages(
    db: Database,
    key: StreamKey,
    mapping: Mapping,
    pages: Sequence[Page],
    synced_at: datetime,
    *,
    history_id: UUID | None = None,
) -> MergeCounts:
    """Store consecutive pages of one stream in one commit, the last page's cursor with them.

    Args:
        db: Where.
        key: Which stream of which connection.
        mapping: How its records are mapped.
        pages: At least one.
        synced_at: When they were read.
        history_id: The sync whose counts go up.

    Raises:
        StoreError: If the database fails; then nothing was stored.
    """
    hashes = mapping.hashes(pages)
    async with db.workspace(key.workspace_id) as connection:
        stored = await batches.known_hashes(connection, key, list(hashes))
    # In a thread, so that requests go on being sent while some thousand records are mapped.
    batch = await asyncio.to_thread(mapping.batch, pages, stored, synced_at)
    return await _commit(db, key, replace(batch, history_id=history_id))


async def _commit(db: Database, key: StreamKey, batch: Batch) -> MergeCounts:
    """Commit a batch; a record that PostgreSQL can't hold becomes a reject, and the rest is committed."""
    while True:
        try:
            return await batches.commit(db, key, batch)
        except RecordError as error:
            bad = [row for row in batch.rows if row.source_id == error.source_id]
            if not bad:
                raise
            batch = replace(
                batch,
                rows=[row for row in batch.rows if row.source_id != error.source_id],
                rejects=[
                    *batch.rejects,
                    *(Reject(r.source_id, r.raw, str(error), r.observed_at) for r in bad),
                ],
            )
