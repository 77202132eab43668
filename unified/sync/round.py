"""Round: one process syncs all connections of a source that are due, and stays while more come due.

Some are synced side by side, each by itself: its errors, its retries and its limits are its own, and one that hangs
holds a slot and nobody else. What a sync is, and that a stream has one at a time, is :mod:`unified.sync.connection`'s.
A connection with a first load before it takes no part: that is a run of its own, which may take hours.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from unified import logs
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.store.connections import turns
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection, ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.sync.bracket import unexpected
from unified.sync.connection import failure_of, sync_streams
from unified.sync.errors import ConnectionBusyError, PullError, SyncError
from unified.sync.mapper import Mapper
from unified.sync.pull import PullResult

PARALLEL = 8
"""Connections synced at once."""

# How often a round looks who is due, and how many it takes on: one that waits here may be paused or removed meanwhile.
_LOOK_SECONDS = 2.0
_TAKEN = 4 * PARALLEL

# A sync that has not ended so long after its streams' limit never will.
_GRACE_SECONDS = 300.0
# One that could not be synced is left alone so long, whatever its row says.
_PAUSE_SECONDS = 60.0

_log = logging.getLogger(__name__)

Outcomes = Mapping[str, PullResult | SyncError]


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of one connection.

    Attributes:
        connection: As it was when its sync began.
        outcomes: What was done, or what stopped it, by stream; without those that another process syncs.
        failure: What stopped it, where it is not tried again in this round.
    """

    connection: Connection
    outcomes: Outcomes
    failure: SyncError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a round lasts, and what is in it.

    Attributes:
        stay: Wait for a connection that comes due within so many seconds, once nothing else is left to do.
        time: Seconds after which no sync is begun any more; the next round goes on with them.
        stream: Seconds after which each stream stops; the connection's next sync goes on there.
        retries: Pauses in seconds before a connection is tried again whose failure may pass.
    """

    stay: float = 0.0
    time: float = float("inf")
    stream: float | None = None
    retries: Sequence[float] = (10.0, 30.0, 70.0)


async def sync_due(
    db: Database,
    factory: AdapterFactory,
    source: str,
    report: Callable[[Synced], Awaitable[None]],
    limits: Limits,
    *,
    run_id: str | None = None,
    clock: Callable[[], datetime] | None = None,
) -> None:
    """Sync all connections of a source that are due and loaded.

    Args:
        db: Where.
        factory: Makes the connections' adapters.
        source: The connector's name.
        report: Called as each connection's sync ends.
        limits: How long it may take.
        run_id: Dagster's run, for the history.
        clock: Says what is due; by default the database's.

    Raises:
        StoreError: If the database fails; what was committed stays.
    """
    async with Mapper() as mapper:

        async def sync(connection: Connection, streams: Sequence[str]) -> Outcomes:
            return await sync_streams(
                db,
                factory,
                connection,
                mapper=mapper,
                streams=streams,
                time_limit=limits.stream,
                run_id=run_id,
            )

        one = _Round(db, source, clock or await db.clock(), sync, report, limits)
        try:
            await one.follow()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


class _Round:
    """Looks who is due, and gives each a task."""

    def __init__(
        self,
        db: Database,
        source: str,
        clock: Callable[[], datetime],
        sync: Callable[[Connection, Sequence[str]], Awaitable[Outcomes]],
        report: Callable[[Synced], Awaitable[None]],
        limits: Limits,
    ) -> None:
        self._db = db
        self._source = source
        self._clock = clock
        self._sync = sync
        self._report = report
        self._limits = limits
        self._slots = asyncio.Semaphore(PARALLEL)
        self._active: set[str] = set()
        self._pausing = 0
        self._left_alone: dict[str, float] = {}
        self._idle = asyncio.Event()
        self._deadline = time.monotonic() + limits.time

    async def follow(self) -> None:
        """Sync until nothing more comes due, or the time is up."""
        async with asyncio.TaskGroup() as tasks:
            while (started := time.monotonic()) < self._deadline:
                await self._begin(tasks)
                pause = max(_LOOK_SECONDS, 4 * (time.monotonic() - started))
                if not self._active:
                    pause = await self._until_next()
                    if pause > min(self._limits.stay, self._deadline - time.monotonic()):
                        return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), pause)

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        """Take on those that wait longest."""
        now = time.monotonic()
        self._left_alone = {key: until for key, until in self._left_alone.items() if until > now}
        if (room := _TAKEN - len(self._active) + self._pausing) > 0:
            found = await turns.due(
                self._db,
                self._clock(),
                [*self._active, *self._left_alone],
                connector=self._source,
                is_loaded=True,
                limit=room,
            )
            for connection in found:
                self._active.add(connection.key)
                tasks.create_task(self._work(connection))
        self._idle.clear()

    async def _until_next(self) -> float:
        """Seconds until the next connection is due."""
        now = self._clock()
        turn = await turns.next_turn(self._db, self._source, now)
        return (turn - now).total_seconds() if turn else float("inf")

    async def _work(self, connection: ConnectionSummary) -> None:
        """Sync a connection, what failed again after a pause, and report each time."""
        logs.note(workspace=connection.workspace, connection=connection.key)
        try:
            streams: Sequence[str] = ()
            for pause in (*self._limits.retries, None):
                async with self._slots:
                    failed = await self._attempt(connection, streams, pause)
                if not failed or pause is None:
                    return
                streams = failed
                self._pausing += 1
                try:
                    await asyncio.sleep(pause)
                finally:
                    self._pausing -= 1
        finally:
            self._active.discard(connection.key)
            if not self._active:
                self._idle.set()

    async def _attempt(
        self, summary: ConnectionSummary, streams: Sequence[str], pause: float | None
    ) -> list[str]:
        """Sync once; the streams to try again after a pause."""
        connection = await self._current(summary)
        # Paused, rejected or removed since it was seen; or the round is over.
        if connection is None or not _is_synced(connection) or time.monotonic() >= self._deadline:
            return []
        outcomes = await self._isolated(connection, streams)
        own = {name: one for name, one in outcomes.items() if not isinstance(one, ConnectionBusyError)}
        failure = failure_of(own.values())
        if failure or len(own) < len(outcomes):
            self._left_alone[connection.key] = time.monotonic() + _PAUSE_SECONDS
        if not own or (failure and await self._current(summary) is None):
            return []
        may_pass = failure and failure.retry and pause and time.monotonic() + pause < self._deadline
        await self._report(Synced(connection, own, None if may_pass else failure))
        return [name for name, one in own.items() if isinstance(one, SyncError)] if may_pass else []

    async def _current(self, summary: ConnectionSummary) -> Connection | None:
        """The connection as it is now; None if it was removed."""
        with suppress(ConnectionNotFoundError):
            return await Registry(self._db).get_connection(summary.workspace_id, summary.id)
        return None

    async def _isolated(self, connection: Connection, streams: Sequence[str]) -> Outcomes:
        """Sync some streams; whatever goes wrong, it goes no further than this connection."""
        limit = None if self._limits.stream is None else self._limits.stream + _GRACE_SECONDS
        try:
            async with asyncio.timeout(limit) as patience:
                return await self._sync(connection, streams)
        except Exception as failure:  # noqa: BLE001 - an adapter's bug must not stop the others
            if patience.expired():
                reason = f"it did not end within {_GRACE_SECONDS:.0f} s after its time limit"
            else:
                _log.exception("%s: its sync failed", connection.key)
                reason = unexpected(failure)
        error = PullError(f"{connection.key}: {reason}", retry=False)
        read = [stream.name for stream in get_adapter(self._source).chosen(connection.streams)]
        return dict.fromkeys(streams or read, error)


def _is_synced(connection: Connection) -> bool:
    return connection.is_active and connection.approval == "approved" and not connection.needs_reauth
