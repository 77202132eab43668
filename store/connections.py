"""What workspaces and connections are, and how they are read from their rows. `store.registry` keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from store.errors import StoreError

SyncStatus = Literal["idle", "syncing", "error", "success"]
_Row = TypeVar("_Row")

_COLUMNS = """
    c.id, c.workspace_id, w.slug AS workspace, c.connector, c.name, c.is_active,
    make_interval(mins => c.sync_interval_minutes) AS sync_interval, c.sync_status, c.sync_started_at,
    c.last_sync_at, c.error_message, c.created_at, c.updated_at
"""
_FROM = "FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id"
SUMMARIES = f"SELECT {_COLUMNS} {_FROM}"
CONNECTIONS = f"SELECT {_COLUMNS}, c.settings {_FROM}"  # more than the scheduler may see


class WorkspaceNotFoundError(StoreError):
    """There is no such workspace."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no workspace {which}")


class ConnectionNotFoundError(StoreError):
    """There is no such connection, or not in this workspace."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no connection {which}; `unified connections list` shows those there are")


class DuplicateNameError(StoreError):
    """The name is taken."""


class UnknownConnectorError(StoreError):
    """No connector of that name can be used."""


class InvalidSettingError(StoreError):
    """A name, an interval or a field rule is not usable."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant.

    Attributes:
        id: Carried by everything that it owns.
        slug: Its name in keys and commands.
        name: Its name for people.
        created_at: When it was made.
    """

    id: UUID
    slug: str
    name: str
    created_at: datetime


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

    @property
    def key(self) -> str:
        """``workspace/name``: its partition in Dagster and its NAME on the command line."""
        return f"{self.workspace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(ConnectionSummary):
    """One workspace's use of a connector, as its workspace sees it.

    Attributes:
        settings: The adapter's settings; no secret.
    """

    settings: Mapping[str, Any]


async def fetch(conn: AsyncConnection[Any], model: type[_Row], query: str, **values: Any) -> list[_Row]:
    """Rows of a query as instances of a dataclass, whose fields have the columns' names."""
    async with conn.cursor(row_factory=class_row(model)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def read_connection(conn: AsyncConnection[Any], connection_id: UUID) -> Connection:
    """One connection, inside its workspace.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    found = await fetch(conn, Connection, CONNECTIONS + " WHERE c.id = %(id)s", id=connection_id)
    if not found:
        raise ConnectionNotFoundError(connection_id)
    return found[0]


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
