"""A route as it is stored, and how its row is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from unified.store.connections import waits
from unified.store.connections.rows import Connection, read_connection
from unified.store.errors import StoreError
from unified.store.routes.settings import RouteSettings, read_settings
from unified.store.routes.sides import Side

RouteStatus = Literal["idle", "running", "error", "success"]

MARK = "route:"
"""Begins a route's name in its partition."""


class RouteNotFoundError(StoreError):
    """There is no such route."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no route {which}; `unified routes list` shows those there are")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSummary:
    """What the scheduler sees of a route.

    Attributes:
        id: Row of ``routes``.
        workspace_id: The tenant.
        workspace: The tenant's slug.
        name: Unique in the workspace.
        is_active: Whether it runs by itself.
        status: How its last run stands or ended.
        started_at: When that began.
        finished_at: When that ended.
        error_message: Why it ended early.
        requested_at: When somebody asked for a run now, until one begins.
        waits_until: Before then it does not run by itself, as the provider of a connection that it asks wants to be
            left alone; None where none does, or somebody paused it.
    """

    id: UUID
    workspace_id: UUID
    workspace: str
    name: str
    is_active: bool
    status: RouteStatus
    started_at: datetime | None
    finished_at: datetime | None
    error_message: str | None
    requested_at: datetime | None
    waits_until: datetime | None

    @property
    def key(self) -> str:
        """``workspace/name``: how people call it."""
        return f"{self.workspace}/{self.name}"

    @property
    def partition(self) -> str:
        """Its partition in Dagster, unlike that of any connection, by which Dagster keeps runs apart."""
        return f"{self.workspace}/{MARK}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(RouteSummary):
    """A route, as its workspace sees it.

    Attributes:
        source: Name of the connection that its records come from.
        source_connection_id: That connection.
        source_stream: The stream of that connection.
        target: Name of the connection that they go to.
        target_connection_id: That connection.
        target_stream: The stream of that connection.
        settings: What it does.
        version: Goes up with each change to what it does.
        counts: What its last run did.
    """

    source: str
    source_connection_id: UUID
    source_stream: str
    target: str
    target_connection_id: UUID
    target_stream: str
    settings: RouteSettings
    version: int
    counts: Mapping[str, int] = field(default_factory=dict)

    def stream(self, side: Side) -> str:
        """The stream of a side."""
        return self.source_stream if side == "source" else self.target_stream


# It asks the target. The source it asks where changes travel back, and where its orders need a fresh look: then the run
# that could not have it failed.
WAITS_UNTIL = f"""(
    SELECT max({waits.until("now()")}) FROM connector_configs AS c
    WHERE r.is_active AND c.workspace_id = r.workspace_id
        AND (c.id = r.target_connection_id
             OR c.id = r.source_connection_id AND (r.direction = 'two_way' OR r.status = 'error'))
)"""  # noqa: S608 - a constant
_SUMMARY = f"""
    r.id, r.workspace_id, w.slug AS workspace, r.name, r.is_active, r.status, r.started_at, r.finished_at,
    r.error_message, r.requested_at, {WAITS_UNTIL} AS waits_until
"""
_FROM = "FROM routes AS r JOIN workspaces AS w ON w.id = r.workspace_id"
SUMMARIES = f"SELECT {_SUMMARY} {_FROM}"
ROUTES = f"""
    SELECT {_SUMMARY}, s.name AS source, r.source_connection_id, r.source_stream, t.name AS target,
        r.target_connection_id, r.target_stream,
        jsonb_build_object('fields', r.fields, 'direction', r.direction, 'filter', r.filter, 'conflict_policy',
            r.conflict_policy, 'match_keys', r.match_keys, 'on_delete', r.on_delete, 'on_missing', r.on_missing,
            'interval', r.interval_minutes) AS settings,
        r.version, r.counts
    {_FROM}
    JOIN connector_configs AS s ON (s.workspace_id, s.id) = (r.workspace_id, r.source_connection_id)
    JOIN connector_configs AS t ON (t.workspace_id, t.id) = (r.workspace_id, r.target_connection_id)
"""


async def ends(conn: AsyncConnection[Any], route: Route) -> tuple[Connection, Connection]:
    """A route's two connections, in a transaction of its workspace.

    Raises:
        ConnectionNotFoundError: If one was removed.
    """
    return (
        await read_connection(conn, route.source_connection_id),
        await read_connection(conn, route.target_connection_id),
    )


async def routes_of(conn: AsyncConnection[Any], connection_id: UUID, stream: str) -> list[Route]:
    """The routes from and to a stream of a connection, by name, in a transaction of its workspace."""
    return await read_routes(
        conn,
        ROUTES
        + """
        WHERE (r.source_connection_id, r.source_stream) = (%(connection)s, %(stream)s)
            OR (r.target_connection_id, r.target_stream) = (%(connection)s, %(stream)s)
        ORDER BY r.name
        """,
        connection=connection_id,
        stream=stream,
    )


async def read_route(conn: AsyncConnection[Any], route_id: UUID) -> Route:
    """One route, in a transaction of its workspace.

    Raises:
        RouteNotFoundError: If there is no such route.
    """
    rows = await read_routes(conn, ROUTES + " WHERE r.id = %(id)s", id=route_id)
    if not rows:
        raise RouteNotFoundError(route_id)
    return rows[0]


async def read_routes(conn: AsyncConnection[Any], query: str, **values: Any) -> list[Route]:
    """The routes that a query like ``ROUTES`` finds."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        found = await cursor.fetchall()
    return [Route(**{**row, "settings": read_settings(row["settings"])}) for row in found]
