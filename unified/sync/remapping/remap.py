"""Remap: apply a changed mapping, schema version or field rule to stored raw records. No source is asked."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from unified.kit.declarations import ConnectionRef
from unified.kit.factory import build_adapter
from unified.kit.streams import Page, RawRecord
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import cursors, rejects, tables
from unified.store.records.tables import StreamKey
from unified.sync.connection import lease, recorded
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.pull import OnProgress, PullResult
from unified.sync.storing import store_pages


async def remap(
    db: Database, connection: Connection, *, on_progress: OnProgress = lambda _: None
) -> list[PullResult]:
    """Map everything that is stored of a connection anew, its rejects included.

    A record that can't be mapped any more keeps its former row and becomes a reject besides.

    Args:
        db: Where the records are.
        connection: Whose records.
        on_progress: Called after each commit with the counts so far.

    Returns:
        What was done, stream by stream.

    Raises:
        ConnectionBusyError: If a sync of the connection is under way.
        PullError: If the database fails. What was committed before stays.
    """
    ref = ConnectionRef(connection.id, connection.workspace_id, connection.key)
    adapter = build_adapter(connection.connector, connection.settings, {}, ref)
    expected = (*adapter.chosen(connection.streams), *adapter.delivered_streams)
    results = []
    async with Mapper() as mapper:
        for stream in adapter.all_streams():
            key = StreamKey.of(connection, stream)
            if stream not in expected and await cursors.load(db, key) is None:
                continue  # never read: nothing is stored of it
            mapping = Mapping(adapter, stream.name, await field_rules.read(db, connection, stream.name))
            results.append(await _remap_stream(db, connection, key, mapping, mapper, on_progress))
    return results


async def _remap_stream(
    db: Database,
    connection: Connection,
    key: StreamKey,
    mapping: Mapping,
    mapper: Mapper,
    on_progress: OnProgress,
) -> PullResult:
    async with (
        lease(db, connection, key.stream),
        recorded(db, connection, key, "remap") as (history_id, result),
    ):
        clock = await db.clock()
        async with aclosing(_stored_pages(db, key, clock())) as stored:
            async for pages in stored:
                result.read += len(pages)
                counts = await store_pages(
                    db, key, mapping, mapper, pages, clock(), history_id=history_id, are_stored=True
                )
                result.add(counts)
                on_progress(result)
        result.is_complete = True
    return result


async def _stored_pages(
    db: Database, key: StreamKey, started_at: datetime
) -> AsyncGenerator[list[Page], None]:
    """Stored raw records, then rejects, some thousand at a time, each a page of its own time."""
    after = ""
    while True:
        async with db.workspace(key.workspace_id) as transaction:
            rows = await tables.read_raw(transaction, key, after=after)
        if not rows:
            break
        yield [Page([RawRecord(row.source_id, row.body)], row.observed_at, None) for row in rows]
        after = rows[-1].source_id
    after = ""
    while True:
        async with db.workspace(key.workspace_id) as transaction:
            set_aside = await rejects.read(transaction, key, after=after)
        if not set_aside:
            break
        # A record that was set aside a moment ago, by this remap, has been counted.
        pages = [
            Page([RawRecord(row.source_id, row.raw)], row.observed_at, None)
            for row in set_aside
            if row.last_seen_at < started_at
        ]
        if pages:
            yield pages
        after = set_aside[-1].key
