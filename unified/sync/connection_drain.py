"""One connection's share of a drain: its next events, what they mean, one commit.

Which connections are drained when, and what becomes of a run, is `unified.sync.drain`'s; what events mean is
`unified.sync.events`'.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID

from unified import tracing
from unified.kit.errors import AuthenticationError
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.webhooks.owners import belongs_to
from unified.store import columns as stored_columns
from unified.store.connections import ended, field_rules, sync_requests, waits
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import BusyError, NotMigratedError, RoleError, UnreachableError
from unified.store.inbox import dead_letters, progress, strays
from unified.store.inbox import events as inbox
from unified.store.inbox.dead_letters import GIVE_UP_AFTER, Failure
from unified.store.inbox.events import Received, StoredEvent
from unified.store.inbox.progress import Inbox, Trouble
from unified.store.inbox.strays import Stray
from unified.store.positions import BEGINNING, Position
from unified.store.records import cursors, suppressions
from unified.store.records.merge.contents import MergeCounts
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.errors import CredentialError
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.sync import privacy, scope
from unified.sync.bracket import reason_of
from unified.sync.columns.settling import settle
from unified.sync.errors import wait_of
from unified.sync.events import Interpreter, Meaning
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import commit

# A batch of events ends at any of these.
BATCH_EVENTS = 4_000
BATCH_BYTES = 16 * 2**20
BATCH_LETTERS = 200

# After a batch of so many events there are mostly more; they are made ready while it is committed.
_MUCH = 500

# Not this connection's fault, and no other connection will fare better.
_FOR_ALL = (UnreachableError, NotMigratedError, RoleError)

# A person has to do something before the connection can be used.
_ENDED = (AuthenticationError, CredentialError, SecretReferenceError)

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
        strays: Events that belong to no connection of the workspace; they were let go.
        counts: The outcomes of the records, by stream.
        oldest_wait: Seconds from the receipt of an event to its commit, at most.
        requests: HTTP requests sent.
        error: Why the connection can't be used; its events wait.
        held: Events that are stored and can't be read yet, behind the inbox's horizon.
        held_by: What keeps them there, and how to end it.
    """

    connection: str
    connection_id: UUID
    events: int = 0
    retried: int = 0
    failed: int = 0
    strays: int = 0
    counts: dict[str, MergeCounts] = field(default_factory=dict)
    oldest_wait: float = 0.0
    requests: int = 0
    error: str | None = None
    held: int = 0
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class _Ahead:
    """The batch after the one that is being committed: its events, and what they mean, in the making."""

    follows: Position
    prepared: "asyncio.Task[_Prepared]"


class _Prepared(NamedTuple):
    asked: Sequence[StoredEvent]
    meaning: Meaning

    @property
    def position(self) -> Position | None:
        """The last place in the inbox that this is about; None where all of it is dead letters."""
        return next((one.position for one in reversed(self.meaning.events) if one.position), None)

    @property
    def rest(self) -> Sequence[StoredEvent]:
        """What was too much for one batch."""
        return self.asked[len(self.meaning.events) :]


class ConnectionDrain:
    """One connection's share of a drain. The caller has the connection's lease."""

    def __init__(
        self,
        db: Database,
        factory: AdapterFactory,
        connection: ConnectionSummary,
        clock: Callable[[], datetime],
        mapper: Mapper,
    ) -> None:
        """Prepare; nothing is opened yet. ``clock`` says when retries are due, ``mapper`` maps."""
        self.result = DrainResult(connection.key, connection.id)
        self._db = db
        self._factory = factory
        self._connection = connection
        self._clock = clock
        self._mapper = mapper
        self._interpreter: Interpreter | None = None
        # Events that were read already and follow a position: what was too much for one batch.
        self._rest: tuple[Position, Sequence[StoredEvent]] = (BEGINNING, ())
        self._ahead: _Ahead | None = None

    @property
    def is_open(self) -> bool:
        """Whether its adapter is connected."""
        return self._interpreter is not None

    async def close(self) -> None:
        """Close the adapter; the next batch makes a new one, with the credentials of that time."""
        await self._forget_ahead()
        if self._interpreter is not None:
            adapter, self._interpreter = self._interpreter.adapter, None
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
            state = await progress.load(transaction, self._connection)
            letters = await dead_letters.due(transaction, self._connection, now, BATCH_LETTERS)
            if letters or self._ahead is None or self._ahead.follows != state.position:
                await self._forget_ahead()
                asked = [*letters, *await self._events_after(transaction, state.position)]
        # What the run saw of this connection may be older than what another batch has settled since.
        if state.trouble and state.trouble.retry_at > now:
            return False
        try:
            # Taken first: one that failed must not be met again.
            ahead, self._ahead = self._ahead, None
            prepared = await (ahead.prepared if ahead else self._prepare(asked))
            if not prepared.meaning.events:
                return False
            position = prepared.position or state.position
            self._rest = (position, [one for one in prepared.rest if one.position])
            if len(prepared.meaning.events) >= _MUCH:
                self._ahead = _Ahead(position, asyncio.create_task(self._prepare_after(position)))
            await self._commit(state, position, prepared.meaning, now)
        except (*_FOR_ALL, BusyError):
            raise
        except ConnectionNotFoundError:
            return False  # removed meanwhile, and its events with it
        except Exception as error:  # noqa: BLE001 - whatever it is, other connections go on
            reason = reason_of(error, f"{self._connection.key}: the drain")
            wait = wait_of(error)
            lasts = wait is not None or isinstance(error, _ENDED)
            await self._put_off(state, reason, now, wait=wait, lasts=lasts)
            return False
        self.result.error = None
        return True

    async def _prepare_after(self, position: Position) -> _Prepared:
        async with self._db.workspace(self._connection.workspace_id) as transaction:
            events = await self._events_after(transaction, position)
        return await self._prepare(events)

    async def _prepare(self, asked: Sequence[StoredEvent]) -> _Prepared:
        if not asked:
            return _Prepared((), Meaning((), {}, ()))
        with self._span("process", asked):
            interpreter = await self._connected()
            columns = interpreter.adapter.columns
            if columns.rules:
                asked = await asyncio.to_thread(lambda: [one.cut(columns) for one in asked])
            return _Prepared(asked, await interpreter.interpret(asked))

    def _span(self, operation: str, events: Sequence[StoredEvent]) -> AbstractContextManager[tracing.Span]:
        """Traces work on events, each of which leads back to its delivery."""
        attributes: dict[str, tracing.Value] = {**tracing.INBOX, "messaging.operation.type": operation}
        attributes["messaging.batch.message_count"] = len(events)
        links = (one.traceparent for one in events)
        return tracing.span(f"{operation} webhook_inbox", attributes, kind="consumer", links=links)

    async def _forget_ahead(self) -> None:
        if self._ahead is not None:
            ahead, self._ahead = self._ahead.prepared, None
            ahead.cancel()
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # if it matters, it is met again

    async def _events_after(self, transaction: Any, position: Position) -> Sequence[StoredEvent]:
        follows, events = self._rest
        return events if events and follows == position else await self._read(transaction, position)

    async def _read(self, transaction: Any, after: Position) -> list[StoredEvent]:
        return await inbox.read(
            transaction, self._connection, after, limit=BATCH_EVENTS, most_bytes=BATCH_BYTES
        )

    async def _connected(self) -> Interpreter:
        if self._interpreter is None:
            connection = self._connection
            stored_as = await Registry(self._db).get_connection(connection.workspace_id, connection.id)
            await settle(self._db, self._factory, stored_as)
            before = await scope.known_account(self._db, connection)
            adapter = await self._factory.create(connection.workspace_id, connection.id, purpose="drain")
            streams = (*adapter.chosen(connection.streams), *adapter.delivered_streams)
            stored = [await cursors.load(self._db, StreamKey.of(connection, stream)) for stream in streams]
            newest = max((one.observed_at for one in stored if one), default=None)
            adapter.clock = await self._db.clock(not_before=newest)
            mappings = {
                stream.name: Mapping(
                    adapter,
                    stream.name,
                    await field_rules.read(self._db, connection, stream.name),
                    since=adapter.connection.since.get(stream.name),
                )
                for stream in streams
            }
            await adapter.connect()
            try:
                account = await scope.settled_account(self._db, adapter, connection, before)
            except BaseException:
                await adapter.disconnect()
                raise
            self._interpreter = Interpreter(connection, adapter, mappings, self._mapper, account)
        return self._interpreter

    async def _commit(self, state: Inbox, position: Position, meaning: Meaning, now: datetime) -> None:
        """Store what events mean, and move the cursor past them."""
        failed = {id(failure.event) for failure in meaning.failures}
        applied = [one for one in meaning.events if id(one) not in failed]

        async def settle(transaction: Any) -> None:
            if self._interpreter and not meaning.merging:  # what is merged is looked at there
                rules = self._interpreter.adapter.columns.rules
                await stored_columns.ensure(transaction, self._connection.id, rules)
            if cut := [one for one in meaning.events if one.is_cut]:
                await inbox.rewrite(transaction, self._connection, cut)
            await dead_letters.solve(transaction, self._connection, applied)
            await dead_letters.keep(transaction, self._connection, meaning.failures, now)
            await self._pass_on(transaction, meaning.strays)
            await self._suppress(transaction, meaning)
            if meaning.needs_sync:
                await sync_requests.request(transaction, self._connection.id)
            await progress.settle(transaction, self._connection, state.position, position)
            if state.trouble:
                await ended.take_back(transaction, self._connection.id, state.trouble.error)

        compared = self._interpreter.mappings if self._interpreter else None
        with self._span("settle", meaning.events):
            counts = await commit(
                self._db, self._connection.workspace_id, meaning.merging, settle, compared=compared
            )
        self._count(meaning.events, meaning.failures, counts)
        await privacy.complete(self._db, self._connection)

    async def _suppress(self, transaction: Any, meaning: Meaning) -> None:
        """Suppress what the source deleted for privacy, and keep no event that names a suppressed record."""
        connection = self._connection
        for stream, ids in meaning.erasures.items():
            await suppressions.add(
                transaction, connection.workspace_id, connection.id, stream, ids, actor=connection.connector
            )
        if traces := await suppressions.traces_of(transaction, connection.id):
            named = [one for one in meaning.events if traces.are_in(one.event.body)]
            await inbox.remove(transaction, connection, named)

    async def _pass_on(self, transaction: Any, events: Sequence[StoredEvent]) -> None:
        """Give events of other accounts, which came before it was known whose this one is, to whom they belong."""
        if not events:
            return
        connection, adapter = self._connection, get_adapter(self._connection.connector)
        readers = await strays.readers(transaction, connection)
        lost, found = [], []
        for one in events:
            owner = adapter.owner(one.event)
            theirs = [to for to in belongs_to(owner, connection.id, readers) if to != connection.id]
            found += [Received(connection.workspace_id, to, one.event) for to in theirs]
            if not theirs:
                lost.append(Stray(connection.workspace_id, connection.id, owner))
        await inbox.append_within(transaction, found)
        await strays.count(transaction, lost)
        self.result.strays += len(lost)

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
        if self._interpreter is not None:
            result.requests = self._interpreter.adapter.http.traffic.requests

    async def _put_off(
        self, state: Inbox, error: str, now: datetime, *, wait: float | None, lasts: bool
    ) -> None:
        """Let a connection's events wait, because it can't be used; after a day, give up those that waited so long.

        Where its credential has ended, or its provider asked for a long wait, its state says so, and not only when it
        is synced next. Such a wait is the connection's, so that its syncs keep to it as well.
        """
        await self.close()
        self.result.error = error
        attempts = state.trouble.attempts + 1 if state.trouble else 1
        since = state.trouble.since if state.trouble else now
        trouble = Trouble(error, attempts, since, now + progress.retry_after(attempts))
        position, goes_on = state.position, True
        while goes_on:
            async with self._db.workspace(self._connection.workspace_id) as transaction:
                events = await self._read(transaction, position) if now - since >= GIVE_UP_AFTER else []
                late = list(takewhile(lambda one: now - one.received_at >= GIVE_UP_AFTER, events))
                failures = [Failure(one, error, is_final=True) for one in late]
                await dead_letters.keep(transaction, self._connection, failures, now)
                former, position = position, (late[-1].position if late else None) or position
                await progress.settle(transaction, self._connection, former, position, trouble)
                if lasts:
                    await ended.note(transaction, self._connection.id, error)
                if wait is not None:
                    await waits.note(transaction, self._connection.id, wait)
            self.result.failed += len(late)
            goes_on = bool(late)
