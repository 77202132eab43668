"""One connection's share of a drain: its next events, what they mean, the records read again, one commit.

Which connections are drained when, and what becomes of a run, is `sync.drain`'s.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any
from uuid import UUID

from adapters.base import BaseAdapter, Changes, Page
from adapters.errors import (
    AdapterError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RequestRefusedError,
)
from adapters.factory import AdapterFactory
from store import cursors, dead_letters, inbox
from store.batches import Batch, MergeCounts
from store.connections import ConnectionNotFoundError, ConnectionSummary
from store.database import Database
from store.dead_letters import GIVE_UP_AFTER, Failure
from store.errors import BusyError, NotMigratedError, RoleError, StoreError, UnreachableError
from store.inbox import Inbox, Position, StoredEvent, Trouble
from store.registry import Registry, presentable
from store.tables import StreamKey
from sync.mapping import Mapping
from sync.storing import commit, prepare

# A batch of events ends at any of these.
BATCH_EVENTS = 4_000
BATCH_BYTES = 16 * 2**20
BATCH_LETTERS = 200
# It ends as well where the records to be read again would take much longer than this, at the provider's pace so far.
FETCH_SECONDS = 5.0
_FETCHED_FIRST, _FETCHED_LEAST = 500, 50

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


class ConnectionDrain:
    """One connection's share of a drain. Whoever uses it has the connection's lease."""

    def __init__(
        self,
        db: Database,
        factory: AdapterFactory,
        connection: ConnectionSummary,
        clock: Callable[[], datetime],
    ) -> None:
        self.result = DrainResult(connection.key, connection.id)
        self._db = db
        self._factory = factory
        self._connection = connection
        self._clock = clock
        self._adapter: BaseAdapter[Any] | None = None
        self._mappings: dict[str, Mapping] = {}
        self._most_fetched = _FETCHED_FIRST
        # Events read already, and the one that they follow: what was too much for the last batch.
        self._ahead: tuple[Position, Sequence[StoredEvent]] = (inbox.BEGINNING, ())

    @property
    def is_open(self) -> bool:
        """Whether its adapter is connected."""
        return self._adapter is not None

    async def close(self) -> None:
        """Close the adapter; the next batch makes a new one, with the credentials of that time."""
        if self._adapter is not None:
            adapter, self._adapter = self._adapter, None
            self._mappings.clear()
            await adapter.disconnect()

    async def apply_next(self) -> bool:
        """Apply the next batch.

        Returns:
            Whether there was one and the connection can be used.

        Raises:
            BusyError: If the database gave up, or another drain did the same; nothing was stored.
            UnreachableError, NotMigratedError, RoleError: If the database fails; nothing was stored.
        """
        now = self._clock()
        async with self._db.workspace(self._connection.workspace_id) as transaction:
            state = await inbox.load(transaction, self._connection)
            letters = await dead_letters.due(transaction, self._connection, now, BATCH_LETTERS)
            after, events = self._ahead
            if not events or after != state.position:
                events = await self._read(transaction, state.position)
        # What the run saw of this connection may be older than what another batch has settled since.
        if not (letters or events) or (state.trouble and state.trouble.retry_at > now):
            return False
        try:
            await self._apply(state, [*letters, *events], now)
        except (*_FOR_ALL, BusyError):
            raise
        except ConnectionNotFoundError:
            return False  # removed meanwhile, and its events with it
        except Exception as error:  # noqa: BLE001 - whatever it is, other connections go on
            is_known = isinstance(error, AdapterError | StoreError)
            if not is_known:
                _log.exception("%s: the drain failed unexpectedly", self._connection.key)
            reason = str(error) if is_known else f"failed unexpectedly ({type(error).__name__}); see the log"
            await self._put_off(state, presentable(reason), now)
            return False
        self.result.error = None
        return True

    async def _read(self, transaction: Any, after: Position) -> list[StoredEvent]:
        return await inbox.read(
            transaction, self._connection, after, limit=BATCH_EVENTS, most_bytes=BATCH_BYTES
        )

    async def _apply(self, state: Inbox, events: Sequence[StoredEvent], now: datetime) -> None:
        adapter = await self._connected()
        everything = events
        changes, unreadable = _understand(adapter, events)
        while len(events) > 1 and (ids := _count_ids(changes)) > self._most_fetched:
            events = events[: max(1, len(events) * self._most_fetched // ids)]
            changes, unreadable = _understand(adapter, events)
        pages, failed_ids = await self._fetch_all(adapter, changes)
        failures = [*unreadable, *_failures(adapter, events, failed_ids)]
        merging = await self._batches(adapter, changes, pages, events)
        position = next((one.position for one in reversed(events) if one.position), state.position)

        async def settle(transaction: Any) -> None:
            failed = {id(failure.event) for failure in failures}
            applied = [one for one in events if id(one) not in failed]
            await dead_letters.solve(transaction, self._connection, applied)
            await dead_letters.keep(transaction, self._connection, failures, now)
            await inbox.settle(transaction, self._connection, state.position, position)

        counts = await commit(self._db, self._connection.workspace_id, merging, settle)
        self._ahead = (position, [one for one in everything[len(events) :] if one.position])
        self._count(events, failures, counts)

    async def _connected(self) -> BaseAdapter[Any]:
        if self._adapter is None:
            connection = self._connection
            adapter = await self._factory.create(connection.workspace_id, connection.id, purpose="drain")
            stored = [await cursors.load(self._db, StreamKey.of(connection, name)) for name in _STREAMS]
            newest = max((one.observed_at for one in stored if one), default=None)
            adapter.clock = await self._db.clock(not_before=newest)
            registry = Registry(self._db)
            for stream in (*adapter.streams, *adapter.delivered_streams):
                rules = await registry.mappings(connection, stream.name)
                self._mappings[stream.name] = Mapping(adapter, stream.name, rules)
            await adapter.connect()
            self._adapter = adapter
        return self._adapter

    async def _fetch_all(
        self, adapter: BaseAdapter[Any], changes: Changes
    ) -> tuple[dict[str, list[Page]], dict[tuple[str, str], str]]:
        """Pages by stream, and why single records could not be had, by stream and id."""
        pages: dict[str, list[Page]] = {}
        failed: dict[tuple[str, str], str] = {}
        started = time.monotonic()
        for stream, ids in changes.fetch.items():
            if ids:
                search = _Search(adapter, stream)
                await search.fetch(ids)
                pages[stream] = search.pages
                failed |= {(stream, one): error for one, error in search.failed.items()}
        if (number := _count_ids(changes)) >= _FETCHED_LEAST:
            pace = number / max(time.monotonic() - started, 0.001)
            self._most_fetched = min(max(int(pace * FETCH_SECONDS), _FETCHED_LEAST), BATCH_EVENTS)
        return pages, failed

    async def _batches(
        self,
        adapter: BaseAdapter[Any],
        changes: Changes,
        pages: dict[str, list[Page]],
        events: Sequence[StoredEvent],
    ) -> dict[StreamKey, Batch]:
        received = {one.event.dedupe_key: one.received_at for one in events}
        latest = max(received.values())
        merging = {}
        for stream in _STREAMS:
            met = list(pages.get(stream, ()))
            if stones := changes.tombstones.get(stream):
                met.append(Page((), latest, None, stones))
            records = changes.records.get(stream, ())
            met += [Page([one], received.get(one.source_id or "", latest), None) for one in records]
            if met:
                key = StreamKey.of(self._connection, stream)
                mapping = self._mappings[stream]
                merging[key] = await prepare(self._db, key, mapping, met, adapter.clock())
        return merging

    def _count(
        self, events: Sequence[StoredEvent], failures: Sequence[Failure], counts: dict[StreamKey, MergeCounts]
    ) -> None:
        result = self.result
        taken = [one for one in events if one.position]
        result.events += len(taken)
        result.retried += len(events) - len(taken)
        result.failed += len(failures)
        for key, merged in counts.items():
            result.counts[key.stream] = result.counts.get(key.stream, MergeCounts()) + merged
        if taken:
            waited = self._clock() - min(one.received_at for one in taken)
            result.oldest_wait = max(result.oldest_wait, waited.total_seconds())
        if self._adapter is not None:
            result.requests = self._adapter.http.traffic.requests

    async def _put_off(self, state: Inbox, error: str, now: datetime) -> None:
        """Let a connection's events wait, because it can't be used; after a day, give up those that waited so long."""
        await self.close()
        self.result.error = error
        attempts = state.trouble.attempts + 1 if state.trouble else 1
        since = state.trouble.since if state.trouble else now
        trouble = Trouble(error, attempts, since, now + inbox.retry_after(attempts))
        position, goes_on = state.position, True
        while goes_on:
            async with self._db.workspace(self._connection.workspace_id) as transaction:
                events = await self._read(transaction, position) if now - since >= GIVE_UP_AFTER else []
                late = list(takewhile(lambda one: now - one.received_at >= GIVE_UP_AFTER, events))
                failures = [Failure(one, error, is_final=True) for one in late]
                await dead_letters.keep(transaction, self._connection, failures, now)
                former, position = position, (late[-1].position if late else None) or position
                await inbox.settle(transaction, self._connection, former, position, trouble)
            self.result.failed += len(late)
            goes_on = bool(late)


def _count_ids(changes: Changes) -> int:
    return sum(map(len, changes.fetch.values()))


def _understand(adapter: BaseAdapter[Any], events: Sequence[StoredEvent]) -> tuple[Changes, list[Failure]]:
    """What events mean, and those that even a sound adapter may stumble over."""
    try:
        return adapter.changes([one.event for one in events]), []
    except AdapterError:
        raise
    except Exception:  # noqa: BLE001 - an event that breaks an adapter must not hold up the others
        _log.exception("%s: an event is not understood", adapter.connection.key)
    good, failures = [], []
    for one in events:
        try:
            adapter.changes([one.event])
        except Exception as error:  # noqa: BLE001 - as above
            reason = f"the event is not understood ({type(error).__name__}); see the log"
            failures.append(Failure(one, reason, is_final=True))
        else:
            good.append(one)
    return adapter.changes([one.event for one in good]), failures


def _failures(
    adapter: BaseAdapter[Any], events: Sequence[StoredEvent], failed: dict[tuple[str, str], str]
) -> list[Failure]:
    """The events that speak of records which could not be had."""
    failures = []
    for one in events if failed else ():
        fetch = adapter.changes([one.event]).fetch
        errors = [
            failed[stream, record]
            for stream, ids in fetch.items()
            for record in ids
            if (stream, record) in failed
        ]
        if errors:
            failures.append(Failure(one, presentable(errors[0])))
    return failures


class _Search:
    """Fetches records, and finds out which of them the provider does not give."""

    def __init__(self, adapter: BaseAdapter[Any], stream: str) -> None:
        self.pages: list[Page] = []
        self.failed: dict[str, str] = {}
        self._adapter = adapter
        self._stream = stream
        self._probes = 0

    async def fetch(self, ids: Sequence[str]) -> None:
        """Fetch by halves, where the whole is refused.

        Raises:
            AdapterError: If it is not about these records.
        """
        try:
            async with aclosing(self._adapter.fetch(self._stream, ids)) as pages:
                got = [page async for page in pages]
        except PermissionDeniedError as error:
            self.failed |= dict.fromkeys(ids, str(error))  # to this kind of record, so to each of them
        except _ABOUT_RECORDS as error:
            self._probes += 1
            if self._probes > _MOST_PROBES:
                if not self.pages:
                    raise  # it gives nothing at all
                self.failed |= dict.fromkeys(ids, str(error))
            elif len(ids) == 1:
                self.failed[ids[0]] = str(error)
            else:
                await self.fetch(ids[: len(ids) // 2])
                await self.fetch(ids[len(ids) // 2 :])
        else:
            self.pages += got
