"""Drain: from the inbox into the tables.

    waiting events of a connection ──▶ what they mean ──▶ read those records again ──▶ one commit

All connections of a source are drained in one run, some side by side, each by itself: one that can't be used makes
its own events wait and no others. Events are read behind the inbox's horizon; records, tombstones, dead letters and
the inbox's cursor are committed together, so a drain may be killed anywhere and nothing is lost or applied twice. No
transaction is open while a provider is asked. Deliveries come in any order: what an event says counts for little, the
record is read again, and the newest observation wins.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from unified import logs
from unified.kit.factory import AdapterFactory
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.errors import BusyError
from unified.store.inbox import backlog, horizon, retention
from unified.store.inbox.backlog import Waiting
from unified.sync.connection_drain import ConnectionDrain, DrainResult
from unified.sync.mapper import Mapper

if TYPE_CHECKING:
    from uuid import UUID

PARALLEL = 4
"""Connections drained at once."""

# A connection with much to do lets others go first after so long.
SLICE_SECONDS = 5.0

# How often a drain looks for more, and how far back: what is older was seen by its first look.
POLL_SECONDS = 0.05
_POLL_REACH = timedelta(hours=1)

# After another drain was met at a connection.
_BUSY_SECONDS = 1.0

# Adapters kept open between batches, so that a busy connection's secrets are not released each second.
_MOST_OPEN = 64

# Seconds of mapping after which a process that maps is worth its start: mostly little is left of what waited.
_WORTH_A_PROCESS = 0.5

_log = logging.getLogger(__name__)

OnProgress = Callable[[DrainResult], None]


async def drain(
    db: Database,
    factory: AdapterFactory,
    source: str,
    *,
    linger: float = 0.0,
    time_limit: float | None = None,
    clock: Callable[[], datetime] | None = None,
    on_progress: OnProgress = lambda _: None,
) -> list[DrainResult]:
    """Apply what waits in the inboxes of all connections of a source.

    Args:
        db: Where.
        factory: Makes the connections' adapters.
        source: The connector's name.
        linger: Seconds to wait for more once nothing waits; what comes in that time is applied at once.
        time_limit: Seconds after which no further batch is begun; the next drain goes on from there.
        clock: Says when retries are due; by default the database's.
        on_progress: Called after each commit with the connection's counts so far.

    Returns:
        One result for each connection that had something waiting, or has events that can't be read yet.

    Raises:
        UnreachableError: If the database fails. What was committed stays.
    """
    time_there = await db.clock()
    await retention.tend(db, time_there())
    async with Mapper(worth_a_process=_WORTH_A_PROCESS) as mapper:
        run = _Run(db, factory, clock or time_there, mapper, on_progress)
        try:
            await run.follow(source, linger, time_limit)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await run.close()
    return await _with_held(db, source, run.results)


async def _with_held(db: Database, source: str, results: Sequence[DrainResult]) -> list[DrainResult]:
    """Add what can't be read yet to what was done."""
    async with db.scheduler() as conn:
        held_up = await horizon.held_up(conn, source)
    found = {result.connection_id: result for result in results}
    for connection_id, held in (held_up.connections if held_up else {}).items():
        result = found.setdefault(connection_id, DrainResult(held.connection, connection_id))
        result.held, result.held_by = held.events, held_up.by if held_up else None
    return list(found.values())


class _Run:
    """One drain of a source: looks what waits, and gives each connection that has something a task."""

    def __init__(
        self,
        db: Database,
        factory: AdapterFactory,
        clock: Callable[[], datetime],
        mapper: Mapper,
        on_progress: OnProgress,
    ) -> None:
        self._db = db
        self._factory = factory
        self._clock = clock
        self._mapper = mapper
        self._on_progress = on_progress
        self._drains: dict[UUID, ConnectionDrain] = {}
        self._active: set[UUID] = set()
        self._elsewhere: dict[UUID, float] = {}
        self._slots = asyncio.Semaphore(PARALLEL)
        self._deadline = float("inf")

    @property
    def results(self) -> list[DrainResult]:
        return [one.result for one in self._drains.values()]

    async def follow(self, source: str, linger: float, time_limit: float | None) -> None:
        """Drain until nothing has come for a while, or the time is up."""
        busy_at = time.monotonic()
        if time_limit is not None:
            self._deadline = busy_at + time_limit
        async with asyncio.TaskGroup() as tasks:
            self._begin(await backlog.waiting(self._db, source, self._clock()), tasks)
            while self._active or time.monotonic() < min(busy_at + linger, self._deadline):
                if self._active:
                    busy_at = time.monotonic()
                started = time.monotonic()
                if started < self._deadline:
                    since = self._clock() - _POLL_REACH
                    found = await backlog.waiting(self._db, source, self._clock(), received_since=since)
                    self._begin(found, tasks)
                # However many connections there are, looking takes a small part of the time.
                await asyncio.sleep(max(POLL_SECONDS, 4 * (time.monotonic() - started)))

    def _begin(self, waiting: Sequence[Waiting], tasks: asyncio.TaskGroup) -> None:
        now = self._clock()
        for found in waiting:
            connection = found.connection
            is_elsewhere = time.monotonic() < self._elsewhere.get(connection.id, 0)
            if found.is_due(now) and connection.id not in self._active and not is_elsewhere:
                self._active.add(connection.id)
                tasks.create_task(self._work(connection))

    async def _work(self, connection: ConnectionSummary) -> None:
        """Drain a connection, and let others have their turn now and then."""
        logs.note(workspace=connection.workspace, connection=connection.key)
        try:
            has_more = True
            while has_more and time.monotonic() < self._deadline:
                async with self._slots:
                    has_more = await self._slice(connection)
        except BusyError as error:
            _log.info("%s: left for the next look: %s", connection.key, error)
            self._elsewhere[connection.id] = time.monotonic() + _BUSY_SECONDS
        finally:
            self._active.discard(connection.id)

    async def _slice(self, connection: ConnectionSummary) -> bool:
        """Apply batches for some seconds; whether there are more."""
        until = min(time.monotonic() + SLICE_SECONDS, self._deadline)
        async with self._db.exclusive(f"inbox/{connection.id}") as is_ours:
            if not is_ours:
                msg = "another process drains it"
                raise BusyError(msg)
            one = await self._open(connection)
            while has_more := await one.apply_next():
                self._on_progress(one.result)
                if time.monotonic() >= until:
                    break
            return has_more

    async def _open(self, connection: ConnectionSummary) -> "ConnectionDrain":
        if connection.id not in self._drains:
            self._drains[connection.id] = ConnectionDrain(
                self._db, self._factory, connection, self._clock, self._mapper
            )
        idle = [one for key, one in self._drains.items() if one.is_open and key not in self._active]
        for one in idle[: -_MOST_OPEN or None]:
            await one.close()
        return self._drains[connection.id]

    async def close(self) -> None:
        """Close the adapters."""
        for one in self._drains.values():
            await one.close()
