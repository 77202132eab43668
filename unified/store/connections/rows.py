"""What a connection is, and how it is read from its rows; `unified.store.connections.registry` keeps them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from unified.kit.mapping.column_rules import Rules
from unified.store.connections import waits
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch

if TYPE_CHECKING:
    from unified.kit.declarations import ConnectionRef

SyncStatus = Literal["idle", "syncing", "error", "success"]
Approval = Literal["approved", "pending", "rejected"]

SILENT_INTERVALS = 2
"""Without a good sync for longer a connection is no longer fresh: by its interval, and by as long as one may take."""

_COLUMNS = f"""
    c.id, c.workspace_id, w.slug AS workspace, c.connector, c.name, c.is_active,
    make_interval(mins => c.sync_interval_minutes) AS sync_interval, c.sync_status, c.sync_started_at,
    c.last_sync_at, c.error_message, c.created_at, c.updated_at, c.approval, c.sync_requested_at, c.version,
    c.needs_reauth, c.streams,
    {waits.until("now()")} AS waits_until
"""
_FROM = "FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id"
# Whether connection ``c`` of connector ``k`` reads the stream that ``h.stream`` names.
READS = """CASE c.streams WHEN '{}' THEN h.stream <> ALL (k.further_streams) ELSE h.stream = ANY (c.streams) END"""
SUMMARIES = f"SELECT {_COLUMNS} {_FROM}"
# More than the scheduler may see.
CONNECTIONS = f"""
    SELECT {_COLUMNS}, c.settings, c.columns, c.stored_columns, c.since, c.history, c.approval_by, c.approval_at,
        c.sync_requested_full, c.tested_at, c.test_error
    {_FROM}
"""


class ConnectionNotFoundError(StoreError):
    """There is no such connection, or not in this workspace."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no connection {which}; `unified connections list` shows those there are")


class UnknownConnectorError(StoreError):
    """No connector of that name can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSummary:
    """What the scheduler sees of a connection: which it is and how its sync stands.

    Attributes:
        id: Row of ``connector_configs``.
        workspace_id: The tenant.
        workspace: The tenant's slug.
        connector: Which adapter serves it.
        name: Unique in the workspace.
        is_active: Whether it is synced by schedule.
        sync_interval: How often.
        sync_status: ``idle`` before the first sync, then as the last one stands or ended.
        sync_started_at: When the last sync began.
        last_sync_at: When the last successful sync ended.
        error_message: Why the last sync failed; None unless the status is ``error``.
        created_at: When it was added.
        updated_at: When any of this last changed.
        approval: ``approved``, or else it is not used: ``pending`` until an admin decides, or ``rejected``.
        sync_requested_at: When somebody asked for a sync now, until a run was asked for.
        version: Rises with each change of what people edit: name, settings, streams, interval, pause, approval.
        streams: Names of the streams that it reads; empty for its connector's usual ones.
        needs_reauth: Whether its grant is gone and a person has to authorize it again; it is not synced until then.
        waits_until: Before then it is neither synced by schedule nor drained, as its provider said; None where
            that is over, or nobody said so.
    """

    id: UUID
    workspace_id: UUID
    workspace: str
    connector: str
    name: str
    is_active: bool
    sync_interval: timedelta
    sync_status: SyncStatus
    sync_started_at: datetime | None
    last_sync_at: datetime | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    approval: Approval
    sync_requested_at: datetime | None
    version: int
    needs_reauth: bool
    streams: Sequence[str]
    waits_until: datetime | None

    @property
    def key(self) -> str:
        """``workspace/name``: its partition in Dagster and its NAME on the command line."""
        return f"{self.workspace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(ConnectionSummary):
    """One workspace's use of a connector, as its workspace sees it.

    Attributes:
        settings: The adapter's settings; no secret.
        columns: By stream, which fields of its records are left out or hashed: :mod:`unified.kit.mapping.columns`.
        stored_columns: The same, as all that is stored obeys it; other than ``columns`` until that was done.
        history: Names of the streams whose former states are kept.
        since: By stream, the day (ISO 8601) on which the records that are stored begin, where it has one.
        approval_by: Who approved or rejected it; None where nobody had to.
        approval_at: When.
        sync_requested_full: Whether the sync that was asked for is to read everything anew.
        tested_at: When the provider was last asked whose account the credentials open.
        test_error: Why they opened none; None if they did.
    """

    settings: Mapping[str, Any]
    columns: Rules
    stored_columns: Rules
    since: Mapping[str, str]
    history: Sequence[str]
    approval_by: str | None
    approval_at: datetime | None
    sync_requested_full: bool
    tested_at: datetime | None
    test_error: str | None

    @property
    def ref(self) -> "ConnectionRef":
        """What an adapter that works for it knows of it."""
        from unified.kit.declarations import ConnectionRef, start_times  # noqa: PLC0415 - lists need no pydantic

        return ConnectionRef(self.id, self.workspace_id, self.key, self.streams, start_times(self.since))


async def read_connection(conn: AsyncConnection[Any], connection_id: UUID) -> Connection:
    """One connection, inside its workspace.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    found = await fetch(conn, Connection, CONNECTIONS + " WHERE c.id = %(id)s", id=connection_id)
    if not found:
        raise ConnectionNotFoundError(connection_id)
    return found[0]


async def streams_read(db: Database, connections: Sequence[ConnectionSummary]) -> dict[UUID, list[str]]:
    """Names of the streams that connections read, of whichever workspaces, by their ids; none of one without."""
    async with db.scheduler() as conn:
        result = await conn.execute(
            f"""
            SELECT c.id, array_agg(h.stream ORDER BY h.position)
            FROM connector_configs AS c JOIN connectors AS k ON k.name = c.connector
            CROSS JOIN unnest(k.streams) WITH ORDINALITY AS h (stream, position)
            WHERE c.id = ANY(%s) AND {READS} GROUP BY c.id
            """.encode(),  # noqa: S608 - a condition
            ([one.id for one in connections],),
        )
        return dict(await result.fetchall())


async def some(conn: AsyncConnection[Any], connection_ids: Collection[UUID]) -> list[Connection]:
    """Those of some connections that are the workspace's, by name."""
    ids = list(connection_ids)
    return await fetch(conn, Connection, CONNECTIONS + " WHERE c.id = ANY(%(ids)s) ORDER BY c.name", ids=ids)


async def page(
    conn: AsyncConnection[Any], *, after: str = "", connector: str | None = None, limit: int = 100
) -> list[Connection]:
    """A page of a workspace's connections, by name.

    Args:
        conn: A transaction of the workspace.
        after: Name of the last one read so far.
        connector: Those of this connector only.
        limit: How many at most.
    """
    return await fetch(
        conn,
        Connection,
        CONNECTIONS
        + """
        WHERE c.name > %(after)s AND (%(connector)s::text IS NULL OR c.connector = %(connector)s)
        ORDER BY c.name LIMIT %(limit)s
        """,
        after=after,
        connector=connector,
        limit=limit,
    )


async def names(
    conn: AsyncConnection[Any], *, connectors: Collection[str] | None = None, limit: int = 100
) -> list[str]:
    """The first names of a workspace's connections, to choose from.

    Args:
        conn: A transaction of the workspace.
        connectors: Those of these connectors only.
        limit: How many at most.
    """
    found = await conn.execute(
        """
        SELECT name FROM connector_configs WHERE %(all)s OR connector = ANY(%(connectors)s)
        ORDER BY name LIMIT %(limit)s
        """,
        {"all": connectors is None, "connectors": list(connectors or ()), "limit": limit},
    )
    return [name for (name,) in await found.fetchall()]


async def connection_key(conn: AsyncConnection[Any], connection_id: UUID, *, lock: bool = False) -> str:
    """``workspace/name`` of a connection, inside its workspace.

    Args:
        conn: A transaction in the workspace.
        connection_id: The connection.
        lock: Whether to keep others from changing it until the transaction ends.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    rows = await conn.execute(
        f"SELECT w.slug || '/' || c.name {_FROM} WHERE c.id = %s {'FOR NO KEY UPDATE OF c' if lock else ''}",
        (connection_id,),
    )
    if (row := await rows.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    return str(row[0])
