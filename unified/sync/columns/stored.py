"""What is stored, as the pages of a pull, to be mapped again: raw records and rejects. No source is asked."""

from collections.abc import AsyncGenerator
from datetime import datetime

from unified.kit.streams import Page, RawRecord
from unified.store.database import Database
from unified.store.records import rejects, tables
from unified.store.records.tables import StreamKey


async def stored_pages(
    db: Database, key: StreamKey, started_at: datetime
) -> AsyncGenerator[list[Page], None]:
    """Stored raw records, then rejects, some thousand at a time, each a page of its own time.

    Args:
        db: Where they are.
        key: Of which stream.
        started_at: Now; what is set aside from then on does not come.
    """
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
        # A record that was set aside a moment ago, by the caller, has been counted.
        pages = [
            Page([RawRecord(row.source_id, row.raw)], row.observed_at, None)
            for row in set_aside
            if row.last_seen_at < started_at
        ]
        if pages:
            yield pages
        after = set_aside[-1].key
