"""The one way from pages into a table: cut columns, leave out what is stored, map, commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from unified import tracing
from unified.kit.streams import Page
from unified.store.database import Database
from unified.store.errors import RecordError
from unified.store.records.merge import batches, comparing
from unified.store.records.merge.contents import Batch, MergeCounts, Reject
from unified.store.records.tables import StreamKey
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping, readable_ids


async def store_pages(
    db: Database,
    key: StreamKey,
    mapping: Mapping,
    mapper: Mapper,
    pages: Sequence[Page],
    synced_at: datetime,
    *,
    history_id: UUID | None = None,
    keep_unknown: bool = False,
    epoch: int | None = None,
    are_stored: bool = False,
) -> MergeCounts:
    """Store consecutive pages of one stream in one commit, the last page's cursor with them.

    Args:
        db: Where.
        key: Which stream of which connection.
        mapping: How its records are mapped.
        mapper: Where.
        pages: At least one.
        synced_at: When they were read.
        history_id: The sync whose counts go up.
        keep_unknown: Whether deleted records that were never stored get rows: something stored names them.
        epoch: The connection's when its credentials were read.
        are_stored: Whether the pages are of what is stored: then nothing of them can be stored in other bytes.

    Raises:
        AccountChangedError: If the connection is another account's by now.
        StoreError: If the database fails; then nothing was stored.
    """
    batch = await prepare(db, key, mapping, mapper, pages, synced_at, history_id=history_id)
    batch = replace(batch, keep_unknown=keep_unknown, epoch=epoch, is_known=are_stored)
    compared = None if are_stored else {key.stream: mapping}
    return (await commit(db, key.workspace_id, {key: batch}, compared=compared))[key]


async def prepare(
    db: Database,
    key: StreamKey,
    mapping: Mapping,
    mapper: Mapper,
    pages: Sequence[Page],
    synced_at: datetime,
    *,
    history_id: UUID | None = None,
    in_flight: AbstractSet[str] = frozenset(),
    is_first_load: bool = False,
) -> Batch:
    """Make consecutive pages of one stream ready for :func:`commit`.

    Args:
        db: Where they will be stored.
        key: Which stream of which connection.
        mapping: How its records are mapped.
        mapper: Where.
        pages: At least one.
        synced_at: When they were read.
        history_id: The sync whose counts go up.
        in_flight: Source ids in batches that are not committed yet. What is stored of these is about to change, so
            they are mapped and merged whatever their hash.
        is_first_load: Nearly nothing can be stored yet, so that nothing is looked up.

    Raises:
        StoreError: If the database fails.
    """
    stored: MappingOf[str, int] = {}
    ids = set() if is_first_load else readable_ids(pages) - in_flight
    if ids:
        async with db.workspace(key.workspace_id) as connection:
            stored = await comparing.known_hashes(connection, key, list(ids))
    if mapping.is_cutting:
        sifted = await asyncio.to_thread(mapping.sift, pages, stored)
    else:
        sifted = mapping.sift(pages, stored)
    outcomes = await mapper.encode(mapping, sifted.candidates, synced_at)
    batch = sifted.batch(outcomes)
    return replace(batch, history_id=history_id, is_new=is_first_load)


async def commit(
    db: Database,
    workspace_id: UUID,
    merging: MappingOf[StreamKey, Batch],
    also: Callable[[Any], Awaitable[None]] | None = None,
    *,
    compared: MappingOf[str, Mapping] | None = None,
) -> dict[StreamKey, MergeCounts]:
    """Commit batches of one workspace together. A record that PostgreSQL can't hold becomes a reject.

    Args:
        db: Where.
        workspace_id: The tenant.
        merging: A batch for each stream.
        also: What else belongs to that transaction, which it is given; called anew where a record was refused.
        compared: The mappings, by stream, where a record that is stored may come in other bytes that say the same: it
            is left as it is then.

    Returns:
        The outcome of each batch.

    Raises:
        StoreError: If the database fails; then nothing was stored.
    """
    merging = dict(merging)
    tables = sorted({key.entity.table for key in merging})
    attributes = {"db.system.name": "postgresql", "db.collection.name": ", ".join(tables)}
    with tracing.span(f"merge {' '.join(tables)}", attributes, kind="client") as span:
        while True:
            counts = {}
            try:
                async with db.workspace(workspace_id) as transaction:
                    for key, batch in merging.items():
                        is_stored = compared[key.stream].is_stored if compared else None
                        counts[key] = await batches.merge(transaction, key, batch, is_stored)
                    if also is not None:
                        await also(transaction)
            except RecordError as error:
                # It was the first batch that has no counts yet.
                refused = next(key for key in merging if key not in counts)
                merging[refused] = _without(merging[refused], error)
            else:
                changed = sum(one.inserted + one.updated + one.deleted for one in counts.values())
                span.set({"unified.records.changed": changed})
                return counts


def _without(batch: Batch, error: RecordError) -> Batch:
    """The batch with a refused record set aside."""
    bad = [row for row in batch.rows if row.source_id == error.source_id]
    if not bad:
        raise error
    return replace(
        batch,
        rows=[row for row in batch.rows if row.source_id != error.source_id],
        rejects=[*batch.rejects, *(Reject(r.source_id, r.raw, str(error), r.observed_at) for r in bad)],
    )
