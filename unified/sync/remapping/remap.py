"""Remap: apply a changed mapping, schema version or field rule to stored raw records. No source is asked."""

from contextlib import aclosing

from unified.kit.factory import build_adapter
from unified.kit.mapping.columns import Columns
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import cursors
from unified.store.records.tables import StreamKey
from unified.sync.columns.stored import stored_pages
from unified.sync.connection import lease, recorded
from unified.sync.errors import PullError
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
        PullError: If the database fails, or columns were left out since that are stored yet, which the next sync
            mends. What was committed before stays.
    """
    if connection.columns != connection.stored_columns:
        raise PullError(
            f"{connection.key}: other columns are left out or hashed since its last sync; `unified sync "
            f"{connection.key}` brings what is stored to that, and then it can be mapped anew",
            retry=True,
        )
    columns = Columns(connection.columns)
    adapter = build_adapter(connection.connector, connection.settings, {}, connection.ref, columns=columns)
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
        async with aclosing(stored_pages(db, key, clock())) as stored:
            async for pages in stored:
                result.read += len(pages)
                counts = await store_pages(
                    db, key, mapping, mapper, pages, clock(), history_id=history_id, are_stored=True
                )
                result.add(counts)
                on_progress(result)
        result.is_complete = True
    return result
