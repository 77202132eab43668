"""Pull: from a source into the tables.

    adapter.pull ──pages──▶ batch of some thousand records ──▶ hash, drop the unchanged, map ──▶ one commit

Reading and storing run side by side, a bounded number of pages apart, so memory stays flat however long the history.
Each batch commits its rows, its rejects and the cursor together: a pull may be killed anywhere, and the next one
goes on from the last commit.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from adapters.base import BaseAdapter, Cursor, Page
from adapters.errors import AdapterError
from store import cursors, history
from store.batches import MergeCounts
from store.database import Database
from store.errors import StoreError
from store.tables import StreamKey
from sync.mapping import Mapping
from sync.storing import store_pages

# A batch is committed when it reaches either size; two of them and the queue are all that is held in memory.
BATCH_RECORDS = 4_000
BATCH_BYTES = 16 * 2**20
QUEUED_PAGES = 8


@dataclass(slots=True)
class PullResult:
    """What a pull did. Every record read is inserted, updated, unchanged or rejected.

    Attributes:
        stream: Name of the stream.
        mode: ``full``, ``incremental`` or ``remap``.
        read: Records that the source sent.
        inserted: Records that were new.
        updated: Records that had changed, or came back from the dead.
        unchanged: Records stored already in this state, or in a newer one.
        rejected: Records that could not be mapped and were set aside.
        deleted: Records newly known to be deleted; they are not among ``read``.
        is_complete: Whether it reached the end, or stopped at its time limit.
        source_count: The source's own count of live records, where it gave one.
        seconds: How long it took.
        requests: HTTP requests, retries included.
        retries: How many of those were retries.
        refused: Answers that the rate limit was exceeded.
        rate_limit_waited: Seconds spent waiting for a turn, added up over concurrent requests.
    """

    stream: str
    mode: history.Mode
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deleted: int = 0
    is_complete: bool = False
    source_count: int | None = None
    seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    refused: int = 0
    rate_limit_waited: float = 0.0


    def add(self, counts: MergeCounts) -> None:
        """Add what one commit did."""
        self.read += counts.read
        self.inserted += counts.inserted
        self.updated += counts.updated
        self.unchanged += counts.unchanged
        self.rejected += counts.rejected
        self.deleted += counts.deleted


OnProgress = Callable[[PullResult], None]


@dataclass(slots=True)
class _Collected:
    """Pages that will be committed together."""

    pages: list[Page] = field(default_factory=list)
    records: int = 0
    size: int = 0

    def add(self, page: Page) -> None:
        self.pages.append(page)
        self.records += len(page.records) + len(page.tombstones)
        self.size += sum(len(record.body) for record in page.records)

    @property
    def is_full(self) -> bool:
        return self.records >= BATCH_RECORDS or self.size >= BATCH_BYTES


class Pull:
    """One pull of one stream of one connection."""

    def __init__(
        self,
        db: Database,
        adapter: BaseAdapter[Any],
        key: StreamKey,
        mapping: Mapping,
        *,
        run_id: str | None = None,
        on_progress: OnProgress = lambda _: None,
    ) -> None:
        """Prepare a pull.

        Args:
            db: Where to store.
            adapter: Connected adapter of the connection.
            key: Which stream of which connection.
            mapping: How its records are mapped.
            run_id: Dagster's run, for the history.
            on_progress: Called after each commit with the counts so far.
        """
        self._db = db
        self._adapter = adapter
        self._key = key
        self._mapping = mapping
        self._run_id = run_id
        self._on_progress = on_progress

    async def run(self, *, full: bool = False, time_limit: float | None = None) -> PullResult:
        """Pull from where the stream stands to its end, or until the time limit.

        Args:
            full: Read everything anew. A full refresh that is unfinished goes on either way.
            time_limit: Seconds after which to stop; what is read by then is stored.

        Returns:
            What was done.

        Raises:
            AdapterError: If the source fails. What it sent before is stored.
            StoreError: If the database fails. What was committed before stays.
        """
        stored = await cursors.load(self._db, self._key)
        cursor = stored.cursor if stored else None
        if full and not (cursor and "refresh" in cursor):
            cursor = None
        mode: history.Mode = "full" if cursor is None or "refresh" in cursor else "incremental"
        history_id = await history.begin(self._db, self._key, mode, self._run_id)
        self._adapter.clock = await self._db.clock(not_before=stored.observed_at if stored else None)
        result = PullResult(self._key.stream, mode)
        error: str | None = "interrupted; the next one goes on from the last commit"
        try:
            await self._move(cursor, history_id, result, time_limit)
            error = None
        except (AdapterError, StoreError) as failure:
            error = str(failure)
            raise
        finally:
            # Where the database is what failed, the entry stays open, as after a kill.
            with suppress(StoreError):
                await history.finish(
                    self._db,
                    self._key,
                    history_id,
                    is_complete=result.is_complete,
                    requests=result.requests,
                    error=error,
                )
        return result

    async def fetch(self, source_ids: Sequence[str]) -> PullResult:
        """Read single records by their ids, and store them; the stream's cursor stays where it is.

        Args:
            source_ids: Ids of records; what the source has no longer becomes a tombstone.

        Raises:
            AdapterError: If the source fails.
            StoreError: If the database fails.
        """
        result = PullResult(self._key.stream, "incremental")
        async with aclosing(self._adapter.fetch(self._key.stream, source_ids)) as source:
            async for page in source:
                await self._commit([page], None, result)
        result.is_complete = True
        return result

    async def _move(
        self, cursor: Cursor | None, history_id: UUID, result: PullResult, time_limit: float | None
    ) -> None:
        pages: asyncio.Queue[Page | None] = asyncio.Queue(QUEUED_PAGES)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(cursor, pages, result, time_limit))
                tasks.create_task(self._store(pages, history_id, result))
        except* (AdapterError, StoreError) as failures:
            raise failures.exceptions[0] from None
        if failure := reading.result():
            raise failure

    async def _read(
        self,
        cursor: Cursor | None,
        pages: "asyncio.Queue[Page | None]",
        result: PullResult,
        time_limit: float | None,
    ) -> AdapterError | None:
        """Hand over pages. A failure is returned, not raised, so that what came before it is stored first."""
        started = time.monotonic()
        failure = None
        try:
            async with aclosing(self._adapter.pull(self._key.stream, cursor)) as source:
                async for page in source:
                    result.source_count = page.source_count
                    if page.refresh_started_at is not None:
                        result.mode = "full"  # a stale cursor makes an adapter begin one by itself
                    await pages.put(page)
                    if time_limit is not None and time.monotonic() - started > time_limit:
                        break
                else:
                    result.is_complete = True
        except AdapterError as error:
            failure = error
        await pages.put(None)
        return failure

    async def _store(
        self, pages: "asyncio.Queue[Page | None]", history_id: UUID, result: PullResult
    ) -> None:
        """Commit pages in batches, until there are no more."""
        started = time.monotonic()
        collected = _Collected()
        while (page := await pages.get()) is not None:
            collected.add(page)
            if collected.is_full:
                await self._commit(collected.pages, history_id, result)
                collected = _Collected()
        if collected.pages:
            await self._commit(collected.pages, history_id, result)
        result.seconds = time.monotonic() - started

    async def _commit(self, pages: list[Page], history_id: UUID | None, result: PullResult) -> None:
        result.add(
            await store_pages(self._db, self._key, self._mapping, pages, self._adapter.clock(), history_id)
        )
        traffic = self._adapter.http.traffic
        result.requests, result.retries, result.refused = traffic.requests, traffic.retries, traffic.refused
        result.rate_limit_waited = self._adapter.http.rate_limit_waited
        self._on_progress(result)
