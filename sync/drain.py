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
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from adapters.base import BaseAdapter, Changes, Page
from adapters.errors import AdapterError, NotFoundError, PermissionDeniedError, ProtocolError, RequestRefusedError
from adapters.factory import AdapterFactory
from store import cursors, dead_letters, inbox, retention
from store.batches import Batch, MergeCounts
from store.connections import ConnectionNotFoundError, ConnectionSummary
from store.database import Database
from store.dead_letters import GIVE_UP_AFTER, Failure
from store.errors import BusyError, NotMigratedError, RoleError, StoreError, UnreachableError
from store.inbox import Inbox, Position, StoredEvent, Trouble, Waiting
from store.registry import Registry, presentable
from store.tables import StreamKey
from sync.mapping import Mapping
from sync.storing import commit, prepare

# A batch of events ends at any of these; what it makes us read again bounds how long one commit takes.
BATCH_EVENTS = 4_000
BATCH_BYTES = 16 * 2**20
BATCH_FETCHED = 500
BATCH_LETTERS = 200

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

# The order of streams in a commit, the same for all, so that no two can lock each other out.
_STREAMS = ("customers", "invoices", "events")

# The provider's word on what was asked for, not on the connection.
_ABOUT_RECORDS = (RequestRefusedError, NotFoundError, ProtocolError)
# Failed requests that the search for the records to blame may cost.
_MOST_PROBES = 40

# Not this connection's fault, and no other connection will fare better.
_FOR_ALL = (UnreachableError, NotMigratedError, RoleError)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class DrainResult:
    """What a drain did for one connection.

    Attributes:
        connection: Its key.
        connection_id: Its id.
        events: Events taken from the inbox.
        retried: Dead letters tried again.
        failed: Events of both kinds that are dead letters now.
        counts: What became of the records, by stream.
        oldest_wait: Seconds from the receipt of an event to its commit, at most.
        requests: HTTP requests sent.
        error: Why the connection can't be used; its events wait.
    """

    connection: str
    connection_id: UUID
    events: int = 0
    retried: int = 0
    failed: int = 0
    counts: dict[str, MergeCounts] = field(default_factory=dict)
    oldest_wait: float = 0.0
    requests: int = 0
    error: str | None = None


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
        clock: Tells when retries are due; by default the database's.
        on_progress: Called after each commit with the connection's counts so far.

    Returns:
        One result for each connection that had something waiting.

    Raises:
        UnreachableError: If the database fails. What was committed stays.
    """
    clock = clock or await db.clock()
    await retention.tend(db, clock())
    run = _Run(db, factory, clock, on_progress)
    try:
        await run.follow(source, linger, time_limit)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        await run.close()
    return run.results


class _Run:
    """One drain of a source: looks what waits, and hands it to one task a connection."""

    def __init__(
        self, db: Database, factory: AdapterFactory, clock: Callable[[], datetime], on_progress: OnProgress
    ) -> None:
        self._db = db
        self._factory = factory
        self._clock = clock
        self._on_progress = on_progress
        self._drains: dict[UUID, _ConnectionDrain] = {}
        self._active: set[UUID] = set()
        self._not_before: dict[UUID, float] = {}
        self._slots = asyncio.Semaphore(PARALLEL)
        self._deadline = float("inf")

    @property
    def results(self) -> list[DrainResult]:
        return [drain.result for drain in self._drains.values()]

    async def follow(self, source: str, linger: float, time_limit: float | None) -> None:
        """Drain until nothing has waited for a while, or the time is up."""
        quiet_since = time.monotonic()
        if time_limit is not None:
            self._deadline = quiet_since + time_limit
        everything = await inbox.waiting(self._db, source, self._clock())
        async with asyncio.TaskGroup() as tasks:
            self._begin(everything, tasks)
            while self._active or time.monotonic() < min(quiet_since + linger, self._deadline):
                await asyncio.sleep(POLL_SECONDS)
                if self._active:
                    quiet_since = time.monotonic()
                if time.monotonic() < self._deadline:
                    since = self._clock() - _POLL_REACH
                    found = await inbox.waiting(self._db, source, self._clock(), received_since=since)
                    self._begin([*found, *self._unfinished(everything)], tasks)

    def _begin(self, waiting: Sequence[Waiting], tasks: asyncio.TaskGroup) -> None:
        ...

    async def close(self) -> None:
        ...
