"""Pull: from a source into the tables.

    adapter.pull ──pages──▶ batch of some thousand records ──▶ hash, drop the unchanged, map ──▶ one commit

Reading, mapping and committing run side by side, a bounded number of records apart, so memory stays flat however
long the history. Each batch commits its rows, its rejects and the cursor together: a pull may be killed anywhere, and
the next one goes on from the last commit. Who may pull, and how it is recorded, is in :mod:`unified.sync.connection`.
"""

import asyncio
import gc
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import AdapterError, StaleCursorError
from unified.kit.http.client import HttpClient
from unified.kit.streams import Cursor, Page
from unified.store.database import Database
from unified.store.records import burials, history
from unified.store.records.burials import WaitingBurial
from unified.store.records.merge.contents import Batch, MergeCounts
from unified.store.records.tables import StreamKey
from unified.sync.burial import BurialRefusedError, asked_since, make_sure
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import commit, prepare

# A batch is closed when it reaches either size. One is collected, one is mapped, one waits and one is committed;
# with the pages that are queued, that is all that is held in memory.
BATCH_RECORDS = 2_000
BATCH_BYTES = 8 * 2**20
QUEUED_PAGES = 16

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PullResult:
    """What a pull did. Every record read is inserted, updated, unchanged or rejected.

    Attributes:
        stream: Name of the stream.
        mode: ``full``, ``incremental`` or ``remap``.
        started_at: When it began, by the clock that ``synced_at`` is taken from.
        read: Records that the source sent.
        inserted: Records that were new.
        updated: Records that had changed, or came back from the dead.
        unchanged: Records stored already in this state, or in a newer one; and those from before the stream's start,
            which are not stored.
        rejected: Records that could not be mapped and were set aside.
        unusable: Records, of those that were mapped, with a field that could not be read and is kept aside.
        deleted: Records newly known to be deleted; they are not among ``read``.
        suppressed: Records of persons whose data were deleted on request: left out, or stored without personal columns.
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
    started_at: datetime | None = None
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    unusable: int = 0
    deleted: int = 0
    suppressed: int = 0
    is_complete: bool = False
    source_count: int | None = None
    seconds: float = 0.0
    requests: int = 0
    retries: int = 0
    refused: int = 0
    rate_limit_waited: float = 0.0

    @property
    def is_changed(self) -> bool:
        """Whether any stored record is another one than before."""
        return self.inserted + self.updated + self.deleted > 0

    def add(self, counts: MergeCounts) -> None:
        """Add what one commit did. What was read is counted where it is read, so that the sums prove something."""
        self.inserted += counts.inserted
        self.updated += counts.updated
        self.unchanged += counts.unchanged
        self.rejected += counts.rejected
        self.unusable += counts.unusable
        self.deleted += counts.deleted
        self.suppressed += counts.suppressed

    def note(self, http: HttpClient) -> None:
        """Take over what a client has sent so far."""
        self.requests, self.retries = http.traffic.requests, http.traffic.retries
        self.refused, self.rate_limit_waited = http.traffic.refused, http.traffic.waited


OnProgress = Callable[[PullResult], None]


@dataclass(slots=True)
class _Collected:
    """Pages that will be committed together."""

    pages: list[Page] = field(default_factory=list)
    records: int = 0
    size: int = 0

    def add(self, page: Page) -> None:
        self.pages.append(page)
        self.records += len(page.records) + len(page.tombstones) + len(page.met)
        self.size += sum(len(record.body) for record in page.records)

    @property
    def is_full(self) -> bool:
        return self.records >= BATCH_RECORDS or self.size >= BATCH_BYTES


_USUAL_PATIENCE = gc.get_threshold()
_pulls = 0


@contextmanager
def _patient_collector() -> Iterator[None]:
    """Let Python look for reference cycles rarely while records pass through any pull of this process.

    It does so after every 700 new objects, a few records' worth, and finds nothing: records hold no cycles. That is
    a fifth of a first load's CPU time. What is there already (modules, classes) it need not look at at all.
    """
    global _pulls  # noqa: PLW0603 - there is one collector
    if not _pulls:
        gc.set_threshold(10_000, *_USUAL_PATIENCE[1:])
        gc.freeze()
    _pulls += 1
    try:
        yield
    finally:
        _pulls -= 1
        if not _pulls:
            gc.unfreeze()
            gc.set_threshold(*_USUAL_PATIENCE)


class Pull:
    """One pull of one stream of one connection."""

    def __init__(
        self,
        db: Database,
        adapter: BaseAdapter[Any],
        key: StreamKey,
        mapping: Mapping,
        mapper: Mapper,
        result: PullResult,
        *,
        history_id: UUID,
        scope: str | None = None,
        epoch: int | None = None,
        bury: bool = False,
        is_first_load: bool = False,
        on_progress: OnProgress = lambda _: None,
    ) -> None:
        """Prepare a pull.

        Args:
            db: Where to store.
            adapter: Connected adapter of the connection.
            key: Which stream of which connection.
            mapping: How its records are mapped.
            mapper: Where.
            result: Filled with what is done, also where the pull fails.
            history_id: The entry of the history whose counts go up.
            scope: The settings that say what is read, for the cursor.
            epoch: The connection's when its credentials were read.
            bury: Whether a full refresh may bury any share of what is stored: a person has said so.
            is_first_load: No full refresh of the stream has been done yet.
            on_progress: Called after each commit with the counts so far.
        """
        self._db = db
        self._adapter = adapter
        self._key = key
        self._mapping = mapping
        self._mapper = mapper
        self._history_id = history_id
        self._scope = scope
        self._bury = bury
        self._epoch = epoch
        self._is_first_load = is_first_load
        self._begins = key.stream in adapter.connection.since
        self._since = asked_since(adapter, key.stream)
        self._result = result
        self._on_progress = on_progress
        self._in_flight: Counter[str] = Counter()

    async def run(self, cursor: Cursor | None, time_limit: float | None = None) -> None:
        """Pull from a cursor to the stream's end, or until the time limit.

        Args:
            cursor: Where the stream stands; None reads everything.
            time_limit: Seconds after which to stop; what is read by then is stored. However short it is, each
                pull gets a page further.

        Raises:
            AdapterError: If the source fails. What it sent before is stored.
            StoreError: If the database fails. What was committed before stays.
        """
        started = time.monotonic()
        pages: asyncio.Queue[Page | None] = asyncio.Queue(QUEUED_PAGES)
        ready: asyncio.Queue[Batch | None] = asyncio.Queue(1)
        try:
            with _patient_collector():
                async with asyncio.TaskGroup() as tasks:
                    reading = tasks.create_task(self._read(cursor, pages, time_limit))
                    tasks.create_task(self._prepare(pages, ready))
                    tasks.create_task(self._commit(ready))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            self._result.seconds = time.monotonic() - started
        outcome = reading.result()
        if isinstance(outcome, AdapterError):
            raise outcome
        self._result.is_complete = outcome

    async def _read(
        self, cursor: Cursor | None, pages: "asyncio.Queue[Page | None]", time_limit: float | None
    ) -> bool | AdapterError:
        """Hand over pages; whether they reach the end.

        A failure is returned, not raised, so that what came before it is stored first.
        """
        deadline = None if time_limit is None else asyncio.get_running_loop().time() + time_limit
        outcome: bool | AdapterError = False
        try:
            async with asyncio.timeout(None) as limit, aclosing(self._pages(cursor)) as source:
                async for page in source:
                    self._result.read += len(page.records)
                    self._result.source_count = None if self._begins else page.source_count
                    if page.refresh_started_at is not None:
                        self._result.mode = "full"  # a stale cursor turns a pull of changes into one
                    await pages.put(page)
                    if limit.when() is None:
                        limit.reschedule(deadline)
            outcome = True
        except TimeoutError:
            if not limit.expired():
                raise
        except AdapterError as error:
            outcome = error
        await pages.put(None)
        return outcome

    async def _pages(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """The source's pages; all of them where it no longer knows what changed since the cursor."""
        try:
            async with aclosing(self._adapter.pull(self._key.stream, cursor)) as pages:
                async for page in pages:
                    yield page
        except StaleCursorError as stale:
            _log.warning("%s; all %s are read again", stale, self._key.stream)
            async with aclosing(self._adapter.pull(self._key.stream, None)) as pages:
                async for page in pages:
                    yield page

    async def _prepare(
        self, pages: "asyncio.Queue[Page | None]", ready: "asyncio.Queue[Batch | None]"
    ) -> None:
        """Collect pages into batches and map them, until there are no more."""
        collected = _Collected()
        while (page := await pages.get()) is not None:
            collected.add(page)
            if collected.is_full:
                await ready.put(await self._map(collected.pages))
                collected = _Collected()
        if collected.pages:
            await ready.put(await self._map(collected.pages))
        await ready.put(None)

    async def _map(self, pages: list[Page]) -> Batch:
        batch = await prepare(
            self._db,
            self._key,
            self._mapping,
            self._mapper,
            pages,
            self._adapter.clock(),
            history_id=self._history_id,
            in_flight=self._in_flight.keys(),
            is_first_load=self._is_first_load,
        )
        if not self._is_first_load:  # then nothing is looked up
            self._in_flight.update(batch.ids())
        return replace(batch, scope=self._scope, epoch=self._epoch, since=self._since)

    async def _commit(self, ready: "asyncio.Queue[Batch | None]") -> None:
        """Commit batches one after the other, until there are no more."""
        while (batch := await ready.get()) is not None:
            started_at = batch.refresh_started_at
            if batch.refresh_done and started_at and not self._key.entity.is_log:
                # What it brought first, without the end: what it has not met is asked for before it is buried.
                await self._store(replace(batch, refresh_done=False, cursor=None))
                batch = replace(batch, rows=(), confirmed=(), rejects=(), deletions=(), unusable=0)
                await self._end_refresh(batch, started_at)
            else:
                await self._store(batch)

    async def _end_refresh(self, batch: Batch, started_at: datetime) -> None:
        """Bury what is gone; or let that wait for a person's word, and have the stream go on with what changes."""
        try:
            await self._make_sure(started_at, by_word=self._bury)
        except BurialRefusedError as refused:
            counts = {"missing": refused.missing, "gone": refused.gone, "living": refused.living}

            async def keep(conn: Any) -> None:
                await burials.keep(conn, self._key, started_at, **counts)

            await self._store(replace(batch, refresh_done=False), keep)
            raise
        await self._store(batch)

    async def bury(self, waiting: WaitingBurial, cursor: Cursor) -> None:
        """Carry out a burial that a person has confirmed.

        Args:
            waiting: The refresh that waited.
            cursor: The stream's, which stays.

        Raises:
            ProviderError: If the source fails.
            StoreError: If the database fails.
        """
        started_at = waiting.refresh_started_at
        await self._make_sure(started_at, by_word=True)
        end = Batch(
            observed_at=started_at,
            cursor=cursor,
            refresh_started_at=started_at,
            refresh_done=True,
            history_id=self._history_id,
            scope=self._scope,
            epoch=self._epoch,
            since=self._since,
        )
        await self._store(end)

    async def _store(self, batch: Batch, also: Callable[[Any], Awaitable[None]] | None = None) -> None:
        compared = None if self._is_first_load else {self._key.stream: self._mapping}
        counts = await commit(self._db, self._key.workspace_id, {self._key: batch}, also, compared=compared)
        if self._in_flight:
            self._in_flight -= Counter(batch.ids())
        self._result.add(counts[self._key])
        self._result.note(self._adapter.http)
        self._on_progress(self._result)

    async def _make_sure(self, started_at: datetime, *, by_word: bool) -> None:
        """Ask for what a full refresh has not met, and store what is there; see :mod:`unified.sync.burial`."""
        looking = make_sure(self._db, self._adapter, self._key, started_at, by_word=by_word)
        async with aclosing(looking) as found:
            async for pages, met in found:
                self._result.read += sum(len(page.records) for page in pages)
                batch = await self._map([*pages] or [Page((), started_at, None)])
                await self._store(replace(batch, refresh_started_at=started_at, met=met))
