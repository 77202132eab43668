"""Sync of a connection: lease, history, state and adapter around the pulls of its streams.

Dagster and the CLI both call here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from unified import logs, tracing
from unified.kit.adapter import BaseAdapter
from unified.kit.errors import AdapterError, ConfigurationError
from unified.kit.factory import AdapterFactory
from unified.kit.http.client import HttpClient
from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.registry import get_adapter
from unified.kit.streams import Cursor
from unified.schema.entities import INVOICES
from unified.store.connections import field_rules
from unified.store.connections.registry import Registry, presentable
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import burials, cursors, history
from unified.store.records.counts import invoiced, kept
from unified.store.records.cursors import StoredCursor
from unified.store.records.tables import StreamKey
from unified.sync import privacy, reporting, scope
from unified.sync.bracket import closing, named
from unified.sync.columns.settling import settle
from unified.sync.errors import ConnectionBusyError, PullError, StreamLeftOutError, SyncError, wait_of
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.pull import OnProgress, Pull, PullResult
from unified.sync.storing import store_pages

# Customers asked for one by one because an invoice names them and no list does; the next sync goes on.
_MISSING_CUSTOMERS = 1_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class SideBySide:
    """What streams of one connection share that are synced at the same time.

    Attributes:
        mapper: Maps for all of them.
        ended: By stream, set once nothing more is pulled of it.
        http: The first one's client; the others keep to its limits.
    """

    mapper: Mapper
    ended: dict[str, asyncio.Event]
    http: HttpClient | None = None

    def share_limits(self, http: HttpClient) -> None:
        """Make a further client keep to the same limits."""
        if self.http is None:
            self.http = http
        else:
            http.join(self.http)

    async def wait_for(self, stream: str) -> None:
        """Wait until nothing more is pulled of a stream, if it is one of these."""
        if stream in self.ended:
            await self.ended[stream].wait()


@asynccontextmanager
async def lease(db: Database, connection: Connection, stream: str) -> AsyncGenerator[None, None]:
    """Be the only one who syncs a stream, until the block or the process ends.

    Raises:
        ConnectionBusyError: If another process does.
        PullError: If the database fails.
    """
    with (
        logs.about(workspace=connection.workspace, connection=connection.key, stream=stream),
        named(f"{connection.key}: {stream}", PullError),
    ):
        async with db.exclusive(f"sync/{connection.id}/{stream}") as is_ours:
            if not is_ours:
                msg = f"{connection.key}: another process syncs {stream} at the moment; wait for it to end"
                raise ConnectionBusyError(msg)
            yield


@asynccontextmanager
async def recorded(
    db: Database, connection: Connection, key: StreamKey, mode: history.Mode, run_id: str | None = None
) -> AsyncGenerator[tuple[UUID, PullResult], None]:
    """Keep a sync's entry in the history, and its connection's state: opened here, closed as the block ends.

    A remap moves no state: it says nothing about the source.

    Yields:
        The entry's id, and an empty result for the block to fill.

    Raises:
        PullError: In place of an AdapterError or StoreError.
    """
    registry = Registry(db)
    ids = connection.workspace_id, connection.id
    result = PullResult(key.stream, mode)
    wait: float | None = None

    async def close(error: str | None) -> None:
        await history.finish(
            db,
            key,
            history_id,
            mode=result.mode,
            is_complete=result.is_complete,
            requests=result.requests,
            error=error,
        )
        if mode != "remap":
            await registry.finish_sync(*ids, wait=wait)

    what = f"{connection.key}: {key.stream}"
    with named(what, PullError):
        if mode != "remap":
            await registry.begin_sync(*ids)
        history_id = await history.begin(db, key, mode, run_id)
    attributes = {"unified.connector": connection.connector}
    with tracing.span(f"{'remap' if mode == 'remap' else 'sync'} {connection.connector}", attributes) as span:
        async with closing(what, PullError, close):
            try:
                yield history_id, result
            except AdapterError as error:
                wait = wait_of(error)
                raise
            span.set({"unified.mode": result.mode, "unified.requests": result.requests, **_counts(result)})


def _counts(result: PullResult) -> dict[str, int]:
    names = ("read", "inserted", "updated", "unchanged", "rejected", "deleted")
    return {f"unified.records.{name}": getattr(result, name) for name in names}


async def sync_stream(
    db: Database,
    factory: AdapterFactory,
    connection: Connection,
    stream: str,
    *,
    full: bool = False,
    bury: bool = False,
    time_limit: float | None = None,
    run_id: str | None = None,
    on_progress: OnProgress = lambda _: None,
    beside: SideBySide | None = None,
) -> PullResult:
    """Sync one stream of one connection.

    Args:
        db: Where to store.
        factory: Makes the connection's adapter.
        connection: Which connection.
        stream: Which of its streams.
        full: Read everything anew instead of the changes only. An unfinished full refresh goes on either way.
        bury: Let a full refresh bury any share of what is stored. Where one waits for a person's word, this is not it:
            see :func:`unified.store.records.burials.confirm`.
        time_limit: Seconds after which to stop; the next sync goes on from there.
        run_id: Dagster's run, for the history.
        on_progress: Called after each commit with the counts so far.
        beside: What it shares with the connection's other streams; by default nothing.

    Returns:
        What was done.

    Raises:
        StreamLeftOutError: If the connection does not read it.
        ConnectionBusyError: If another process syncs this stream at the moment.
        PullError: If the source or the database fails; the message names connection and stream.
    """
    connector = get_adapter(connection.connector)
    declared = connector.stream(stream)
    read = [one.name for one in connector.chosen(connection.streams)]
    if stream not in read:
        raise StreamLeftOutError(connection.key, [stream])
    with named(f"{connection.key}: {stream}", PullError):
        await settle(db, factory, connection)
    async with lease(db, connection, stream):
        key = StreamKey.of(connection, declared)
        async with (
            recorded(db, connection, key, _mode(await cursors.load(db, key), full=full), run_id) as (
                history_id,
                result,
            ),
            _opened(db, factory, connection, beside) as (adapter, epoch),
            nullcontext(beside.mapper) if beside else Mapper() as mapper,
        ):
            settings = scope.scope_of(adapter.config, declared.reading)
            found = await cursors.load(db, key)
            stored = scope.usable(found, settings, f"{connection.key}: {stream}")
            result.mode = _mode(stored, full=full)
            # What is confirmed is buried by the refresh that found it: it is not listed anew.
            is_settled = stored is not None and not is_unfinished(stored.cursor)
            waiting = await _confirmed(db, key) if is_settled else None
            full = full and waiting is None
            cursor = stored.cursor if stored and _goes_on(stored.cursor, full=full, bury=bury) else None
            adapter.clock = await db.clock(not_before=found.observed_at if found else None)
            result.started_at = adapter.clock()
            since = adapter.connection.since.get(stream)
            mapping = Mapping(adapter, stream, await field_rules.read(db, connection, stream), since=since)
            pull = Pull(
                db,
                adapter,
                key,
                mapping,
                mapper,
                result,
                history_id=history_id,
                scope=settings,
                epoch=epoch,
                bury=bury,
                is_first_load=found is None or found.refreshed_at is None,
                on_progress=on_progress,
            )
            try:
                if waiting is not None and cursor is not None:
                    await pull.bury(waiting, cursor)
                await pull.run(cursor, time_limit)
                if declared.customers and declared.customers in read and result.is_complete:
                    if beside:
                        await beside.wait_for(declared.customers)
                    customers = StreamKey.of(connection, adapter.stream(declared.customers))
                    result.is_complete = await _complete_customers(
                        db, adapter, connection, key, customers, mapper, epoch
                    )
                if result.is_complete:
                    await reporting.report(db, adapter, key, mapping, mapper, epoch)
            finally:
                result.note(adapter.http)
            await privacy.complete(db, connection)
        _log.info("%s: synced %s", connection.key, stream, extra={"fields": asdict(result)})
    return result


async def _confirmed(db: Database, key: StreamKey) -> burials.WaitingBurial | None:
    """The stream's full refresh that a person has let mark much as deleted, if there is one."""
    async with db.workspace(key.workspace_id) as conn:
        found = await burials.waiting(conn, key.connection_id, key.stream)
    return next((one for one in found if one.confirmed_at), None)


def _goes_on(cursor: Cursor, *, full: bool, bury: bool) -> bool:
    """Whether a sync goes on from a cursor. Where all was listed and only burying is left, ``full`` lists anew."""
    refresh = Refresh.load(cursor)
    return not full or (refresh is not None and (bury or bool(refresh.windows)))


def _mode(stored: StoredCursor | None, *, full: bool) -> history.Mode:
    return "full" if full or stored is None or is_unfinished(stored.cursor) else "incremental"


@asynccontextmanager
async def _opened(
    db: Database, factory: AdapterFactory, connection: Connection, beside: SideBySide | None
) -> AsyncGenerator[tuple[BaseAdapter[Any], int], None]:
    """A connection's adapter, open, once it is settled whose account it reads; and the connection's epoch."""
    before = await scope.known_account(db, connection)
    async with await factory.create(connection.workspace_id, connection.id, purpose="sync") as adapter:
        if beside:
            beside.share_limits(adapter.http)
        settled = await scope.settled_account(db, adapter, connection, before)
        yield adapter, settled.epoch


async def sync_streams(
    db: Database,
    factory: AdapterFactory,
    connection: Connection,
    *,
    mapper: Mapper,
    streams: Sequence[str] = (),
    full: bool = False,
    bury: bool = False,
    time_limit: float | None = None,
    run_id: str | None = None,
    on_progress: OnProgress = lambda _: None,
) -> dict[str, PullResult | SyncError]:
    """Sync some streams of a connection, by default all that it reads, side by side; see :func:`sync_stream`.

    A provider's limits are often an endpoint's own. One stream's failure leaves the others alone.

    Returns:
        What was done, or what stopped it, by stream.

    Raises:
        ConfigurationError: If the connector has no such stream, or none that can be pulled; nothing was synced.
        StreamLeftOutError: If the connection does not read it; nothing was synced.
    """
    connector = get_adapter(connection.connector)
    read = [stream.name for stream in connector.chosen(connection.streams)]
    names = [connector.stream(name).name for name in streams or read]
    if left_out := [name for name in names if name not in read]:
        raise StreamLeftOutError(connection.key, left_out)
    if not names:
        raise ConfigurationError(f"{connection.key} is not pulled: its records come by webhook alone")
    beside = SideBySide(mapper, {name: asyncio.Event() for name in names})

    async def attempt(name: str) -> PullResult | SyncError:
        try:
            return await sync_stream(
                db,
                factory,
                connection,
                name,
                full=full,
                bury=bury,
                time_limit=time_limit,
                run_id=run_id,
                on_progress=on_progress,
                beside=beside,
            )
        except SyncError as error:
            return error
        finally:
            beside.ended[name].set()

    async with asyncio.TaskGroup() as tasks:
        syncs = {name: tasks.create_task(attempt(name)) for name in names}
    return {name: sync.result() for name, sync in syncs.items()}


async def sync_connection(
    db: Database, factory: AdapterFactory, connection: Connection, **options: Any
) -> list[PullResult]:
    """Sync a connection, with a mapper of its own; options as for :func:`sync_streams`.

    Raises:
        ConfigurationError: If the connector has no such stream; nothing was synced.
        SyncError: The first stream's that failed, once all have ended.
    """
    async with Mapper() as mapper:
        outcomes = await sync_streams(db, factory, connection, mapper=mapper, **options)
    async with db.workspace(connection.workspace_id) as conn:
        for stream in get_adapter(connection.connector).chosen(connection.streams):
            if stream.name in outcomes and stream.entity is INVOICES:
                await invoiced.put_together(conn, StreamKey.of(connection, stream))
    if (failure := failure_of(outcomes.values())) is not None:
        raise failure
    return [outcome for outcome in outcomes.values() if isinstance(outcome, PullResult)]


def failure_of(outcomes: Iterable[PullResult | SyncError]) -> SyncError | None:
    """What to say of a connection of which some streams failed; None where none did."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, SyncError)]
    if len(failures) < 2:  # noqa: PLR2004
        return failures[0] if failures else None
    msg = f"{failures[0]}; {len(failures) - 1} more of its streams failed, see `unified status`"
    error = PullError(msg, retry=all(failure.retry for failure in failures))
    error.__cause__ = failures[0]
    return error


async def abandon(db: Database, run_id: str, reason: str) -> list[str]:
    """Note that a run of Dagster's died in the middle of syncs; where one said so itself, nothing changes.

    Args:
        db: Where.
        run_id: The run; it must have ended.
        reason: How, as Dagster says.

    Returns:
        Keys of the connections that nobody had closed the sync of.

    Raises:
        StoreError: If the database fails.
    """
    abandoned = []
    for connection in await history.left_open(db, run_id):
        error = presentable(
            f"{connection.key}: the run died, and the next sync goes on from the last commit: {reason}"
        )
        if await history.abandon(db, connection, run_id, error):
            await Registry(db).finish_sync(connection.workspace_id, connection.id)
            abandoned.append(connection.key)
    return abandoned


async def _complete_customers(
    db: Database,
    adapter: BaseAdapter[Any],
    connection: Connection,
    invoices: StreamKey,
    customers: StreamKey,
    mapper: Mapper,
    epoch: int,
) -> bool:
    """Store customers that invoices name and no list showed: created a moment ago, or deleted long ago.

    Not before the customers' own first load is done, which brings most of them a hundred a request.

    Returns:
        Whether none is left for the next sync.
    """
    loaded = await cursors.load(db, customers)
    if loaded is None or loaded.refreshed_at is None:
        return True
    async with db.workspace(connection.workspace_id) as conn:
        missing = await kept.unknown_customers(conn, invoices, customers, _MISSING_CUSTOMERS)
    stream = customers.stream
    mapping = Mapping(adapter, stream, await field_rules.read(db, connection, stream))
    async with aclosing(adapter.fetch(stream, missing)) as pages:
        async for page in pages:
            await store_pages(
                db, customers, mapping, mapper, [page], adapter.clock(), keep_unknown=True, epoch=epoch
            )
    return len(missing) < _MISSING_CUSTOMERS
