"""Sync of a connection: lease, adapter and state around the pulls of its streams. Dagster and the CLI both call here."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from adapters.base import BaseAdapter
from adapters.errors import AdapterError, AuthenticationError, ConfigurationError, PermissionDeniedError
from adapters.factory import AdapterFactory
from adapters.registry import get_adapter
from store import quality
from store.connections import Connection
from store.database import Database
from store.errors import StoreError
from store.registry import Registry
from store.tables import StreamKey
from sync.errors import ConnectionBusyError, PullError
from sync.mapping import Mapping
from sync.pull import OnProgress, Pull, PullResult

# Errors of these kinds stay until somebody changes the connection.
_NEEDS_A_PERSON = (AuthenticationError, PermissionDeniedError, ConfigurationError)

# Customers asked for one by one because an invoice names them and the list did not; more come with the next sync.
_MISSING_CUSTOMERS = 1_000


@asynccontextmanager
async def lease(db: Database, connection: Connection, stream: str) -> AsyncGenerator[None, None]:
    """Be the only one who syncs a stream, until the block or the process ends.

    Raises:
        ConnectionBusyError: If another process does.
    """
    async with db.exclusive(f"sync/{connection.id}/{stream}") as is_ours:
        if not is_ours:
            msg = f"{connection.key}: another process syncs {stream} at the moment; wait for it to end"
            raise ConnectionBusyError(msg)
        yield


async def sync_stream(
    db: Database,
    factory: AdapterFactory,
    connection: Connection,
    stream: str,
    *,
    full: bool = False,
    time_limit: float | None = None,
    run_id: str | None = None,
    on_progress: OnProgress = lambda _: None,
) -> PullResult:
    """Sync one stream of one connection.

    Args:
        db: Where to store.
        factory: Makes the connection's adapter.
        connection: Which connection.
        stream: Which of its streams.
        full: Read everything anew instead of the changes only.
        time_limit: Seconds after which to stop; the next sync goes on from there.
        run_id: Dagster's run, for the history.
        on_progress: Called after each commit with the counts so far.

    Returns:
        What was done.

    Raises:
        ConnectionBusyError: If another process syncs this stream at the moment.
        PullError: If the source or the database fails; the message names connection and stream.
    """
    registry = Registry(db)
    ids = connection.workspace_id, connection.id
    async with lease(db, connection, stream):
        await registry.begin_sync(*ids)
        try:
            async with await factory.create(*ids, purpose="sync") as adapter:
                rules = await registry.mappings(connection, stream)
                mapping = Mapping(adapter, stream, rules)
                key = StreamKey.of(connection, stream)
                pull = Pull(db, adapter, key, mapping, run_id=run_id, on_progress=on_progress)
                result = await pull.run(full=full, time_limit=time_limit)
                if stream == "invoices":
                    customers = Mapping(adapter, "customers", await registry.mappings(connection, "customers"))
                    await _complete_customers(db, adapter, connection, customers)
        except (AdapterError, StoreError) as error:
            message = f"{connection.key}: {stream}: {error}"
            # Where the database is what failed, the state stays as after a kill: the next sync sets it right.
            with suppress(StoreError):
                await registry.finish_sync(*ids, error=message)
            raise PullError(message, retry=not isinstance(error, _NEEDS_A_PERSON)) from error
        except BaseException:
            with suppress(StoreError):
                await registry.finish_sync(*ids, error=f"{connection.key}: {stream}: interrupted")
            raise
        await registry.finish_sync(*ids)
        return result


async def sync_connection(
    db: Database,
    factory: AdapterFactory,
    connection: Connection,
    *,
    full: bool = False,
    time_limit: float | None = None,
    on_progress: OnProgress = lambda _: None,
) -> list[PullResult]:
    """Sync all streams of a connection, one after the other; see :func:`sync_stream`."""
    return [
        await sync_stream(
            db, factory, connection, stream.name, full=full, time_limit=time_limit, on_progress=on_progress
        )
        for stream in get_adapter(connection.connector).streams
    ]


async def _complete_customers(db: Database, adapter: BaseAdapter[Any], connection: Connection, mapping: Mapping) -> None:
    """Store customers that invoices name and that no list showed: created a moment ago, or deleted long ago."""
    async with db.workspace(connection.workspace_id) as conn:
        missing = await quality.unknown_customers(conn, connection.connector, connection.id, _MISSING_CUSTOMERS)
    if missing:
        key = StreamKey.of(connection, "customers")
        await Pull(db, adapter, key, mapping).fetch(missing)
