"""What is stored already, brought to the columns that a connection leaves out or hashes now.

Each sync and each drain of a connection begins with this, so a change of rules that was interrupted is finished by the
next one. What was not stored can't be brought back from here: a stream of which more is to be stored than before is
read anew (:func:`unified.store.connections.changes.update`).
"""

from contextlib import aclosing
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.factory import AdapterFactory
from unified.store import columns as stored
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records.tables import StreamKey
from unified.sync.columns.stored import stored_pages
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import store_pages


async def settle(db: Database, factory: AdapterFactory, connection: Connection) -> bool:
    """Bring what is stored of a connection to its present rules: rows, rejects, received events and dead letters.

    Records that were deleted at their source, and former states, lose all personal columns where their stream's rules
    changed: they are not mapped again.

    Args:
        db: Where.
        factory: Makes the connection's adapter, which has the key to hash by.
        connection: Which.

    Returns:
        Whether this did it: there was something to do, and nobody else does it at the moment.

    Raises:
        AdapterError, StoreError: If it can't be done now; what was done stays done.
    """
    if connection.columns == connection.stored_columns:
        return False
    async with db.exclusive(f"columns/{connection.id}") as is_ours:
        if not is_ours:
            return False
        adapter = await factory.create(connection.workspace_id, connection.id, purpose="columns")
        rules, before = adapter.columns.rules, connection.stored_columns
        async with Mapper() as mapper:
            for stream in adapter.all_streams():
                if stream.entity.is_log or rules.get(stream.name) != before.get(stream.name):
                    await _settle_stream(db, adapter, connection, stream, mapper)
        async with db.workspace(connection.workspace_id) as conn:
            await stored.rewrite_events(conn, connection.id, adapter.columns.kept_event)
            await stored.note_stored(conn, connection.id, rules)
    return True


async def _settle_stream(
    db: Database, adapter: BaseAdapter[Any], connection: Connection, stream: Stream, mapper: Mapper
) -> None:
    key = StreamKey.of(connection, stream)
    mapping = Mapping(adapter, stream.name, await field_rules.read(db, connection, stream.name))
    if not mapping.is_cutting:
        return
    clock = await db.clock()
    started_at = clock()
    async with aclosing(stored_pages(db, key, started_at)) as found:
        async for pages in found:
            await store_pages(db, key, mapping, mapper, pages, clock(), are_stored=True)
    async with db.workspace(key.workspace_id) as conn:
        await stored.empty_former(conn, key)
        # Those that still can't be mapped were set aside anew; the others are known in a later state.
        await stored.drop_rejects(conn, key, before=started_at)
