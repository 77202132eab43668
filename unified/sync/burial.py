"""Before a full refresh buries what it has not met: is it gone, and may so much be?

A list leaves things out: customers on a test clock, records that the credential may not see, whatever a filter hides.
So each record that a refresh has not met is asked for by its id. What is there is stored and counts as met, and so
does what the source does not clearly say is gone. And where more is gone than a share of the table, a person has to say
that it is right: until then nothing is buried. The refresh is kept for that (:mod:`unified.store.records.burials`), and
its stream goes on with what changes: nothing is listed or asked for again before somebody has spoken.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import AdapterError, ConfigurationError, SingleRecordsError
from unified.kit.streams import Page
from unified.store.database import Database
from unified.store.records import refreshes
from unified.store.records.tables import StreamKey
from unified.sync.events import ABOUT_RECORDS, Search

# So many may be buried whatever the share is: in a small table each record is a large one.
_ALWAYS = 10

# Records asked for at once.
_CHUNK = 500


class BurialRefusedError(AdapterError):
    """More is gone than may be buried without a person's word; nothing was buried.

    Attributes:
        missing: Live records that the refresh has not met.
        gone: How many of them are gone, at least.
        living: Live records that are stored.
    """

    def __init__(self, key: str, most: int, *, missing: int, gone: int, living: int) -> None:
        super().__init__(
            f"a full refresh has not met {missing} of {living} records, and at least {gone} of them are gone; "
            f"{most} may be marked as deleted without a word (bury_at_most), so none was, and the next syncs read "
            f"the changes only. If that is right, run `unified sync {key} --bury`, or confirm it on the connection's "
            f"page. If it is not, see what the credential may read and what hides them, then run "
            f"`unified sync {key} --full`"
        )
        self.missing, self.gone, self.living = missing, gone, living


def asked_since(adapter: BaseAdapter[Any], stream: str) -> datetime | None:
    """From when on a full refresh of a stream asks for records; None where it asks for all."""
    return adapter.connection.since.get(stream) if adapter.stream(stream).asks_since else None


async def make_sure(
    db: Database, adapter: BaseAdapter[Any], key: StreamKey, started_at: datetime, *, by_word: bool
) -> AsyncGenerator[tuple[Sequence[Page], Sequence[str]], None]:
    """Ask for each record that a refresh has not met.

    Args:
        db: Where they are stored.
        adapter: The open adapter of their connection.
        key: Their stream.
        started_at: When the refresh began.
        by_word: Whether a person has said that any number may be buried.

    Yields:
        Pages of records that are there all the same, and the ids that are to count as met. What is never yielded is
        gone, once this has ended.

    Raises:
        BurialRefusedError: If too many are gone.
        ProviderError: If the source fails.
    """
    since = asked_since(adapter, key.stream)
    async with db.workspace(key.workspace_id) as conn:
        missing, living = await refreshes.count_unmet(conn, key, started_at, since)
    share = adapter.config.bury_at_most
    most = max(_ALWAYS, int(share * living)) if share else 0
    gone, after = 0, ""
    while missing:
        async with db.workspace(key.workspace_id) as conn:
            ids = await refreshes.unmet(conn, key, started_at, since, after=after, limit=_CHUNK)
        if not ids:
            return
        found = await _look(adapter, key.stream, ids)
        if found is None:  # nobody can say more than the list
            gone = missing
        else:
            buried = {stone.source_id for page in found for stone in page.tombstones}
            kept = [one for one in ids if one not in buried]
            gone += len(ids) - len(kept)
            yield [replace(page, tombstones=()) for page in found if page.records], kept
        if gone > most and not by_word:
            raise BurialRefusedError(adapter.connection.key, most, missing=missing, gone=gone, living=living)
        if found is None:
            return
        after = ids[-1]


async def _look(adapter: BaseAdapter[Any], stream: str, ids: Sequence[str]) -> Sequence[Page] | None:
    """Pages of what some ids lead to, without those that can't be had; None where single records can't be read."""
    try:
        async with aclosing(adapter.fetch(stream, ids)) as pages:
            return [page async for page in pages]
    except (ConfigurationError, SingleRecordsError):
        return None
    except ABOUT_RECORDS:
        search = Search(adapter, stream)
        await search.fetch(ids)
        return search.pages
