"""Keeps routes: which customers are pushed from one connection to another, and how a route's last run went.

What a route has pushed, and what waits, is :mod:`unified.store.routes.pushes`'; what changed since is
:mod:`unified.store.records.changes`'.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from unified.store import audit
from unified.store.connections.rows import Connection, read_connection
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, StoreError, VersionConflictError
from unified.store.records.changes import KEPT
from unified.store.routes.settings import Direction, RouteSettings, checked, read_settings, way_between
from unified.store.rows import fetch

RouteStatus = Literal["idle", "running", "error", "success"]

LONGEST_ABSENCE = KEPT - timedelta(days=1)
"""A route that was away for longer looks at all records again: the log may be forgotten while it is read."""


class RouteNotFoundError(StoreError):
    """There is no such route."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no route {which}; `unified routes list` shows those there are")


class CycleError(InvalidSettingError):
    """A route would lead back to where its records come from."""


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

    @property
    def key(self) -> str:
        """``workspace/name``: how people call it."""
        return f"{self.workspace}/{self.name}"

    @property
    def partition(self) -> str:
        """Its partition in Dagster, unlike that of any connection, by which Dagster keeps runs apart."""
        return f"{self.workspace}/{_MARK}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(RouteSummary):
    """A route, as its workspace sees it.

    Attributes:
        source: Name of the connection that its records come from.
        source_connection_id: That connection.
        target: Name of the connection that they go to.
        target_connection_id: That connection.
        settings: What it does.
        version: Goes up with each change to what it does.
        counts: What its last run did.
    """

    source: str
    source_connection_id: UUID
    target: str
    target_connection_id: UUID
    settings: RouteSettings
    version: int
    counts: Mapping[str, int] = field(default_factory=dict)


_MARK = "route:"

_SUMMARY = """
    r.id, r.workspace_id, w.slug AS workspace, r.name, r.is_active, r.status, r.started_at, r.finished_at,
    r.error_message, r.requested_at
"""
_FROM = "FROM routes AS r JOIN workspaces AS w ON w.id = r.workspace_id"
_SUMMARIES = f"SELECT {_SUMMARY} {_FROM}"
_ROUTES = f"""
    SELECT {_SUMMARY}, s.name AS source, r.source_connection_id, t.name AS target, r.target_connection_id,
        jsonb_build_object('fields', r.fields, 'direction', r.direction, 'filter', r.filter, 'conflict_policy',
            r.conflict_policy, 'match_keys', r.match_keys, 'on_delete', r.on_delete, 'on_missing', r.on_missing,
            'interval', r.interval_minutes) AS settings,
        r.version, r.counts
    {_FROM}
    JOIN connector_configs AS s ON (s.workspace_id, s.id) = (r.workspace_id, r.source_connection_id)
    JOIN connector_configs AS t ON (t.workspace_id, t.id) = (r.workspace_id, r.target_connection_id)
"""


class Routes:
    """Keeps routes."""

    def __init__(self, db: Database, *, actor: str = "unified") -> None:
        """Work on ``db``, in the name of ``actor`` for the audit log."""
        self._db = db
        self._actor = actor

    async def add(
        self, name: str, source: Connection, target: Connection, settings: RouteSettings | None = None
    ) -> Route:
        """Add a route.

        Args:
            name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
            source: Where records come from.
            target: Where they go to; of the same workspace.
            settings: What to do; by default all fields, one way, the source wins.

        Raises:
            InvalidSettingError: If source and target are one or of two workspaces, or a setting can't work.
            CycleError: If records could come back to where they came from; the message names the way.
            DuplicateNameError: If the workspace has a route of that name, or another between the two.
        """
        settings = checked(settings or RouteSettings(), source, target)
        route_id = uuid4()
        async with self._db.workspace(source.workspace_id) as conn:
            await _refuse_cycle(conn, name, source, target, settings.direction)
            try:
                await conn.execute(
                    """
                    INSERT INTO routes (id, workspace_id, name, source_connection_id, target_connection_id,
                        direction, fields, filter, conflict_policy, match_keys, on_delete, on_missing,
                        interval_minutes)
                    VALUES (%(id)s, %(workspace)s, %(name)s, %(source)s, %(target)s, %(direction)s, %(fields)s,
                        %(filter)s, %(conflict_policy)s, %(match_keys)s, %(on_delete)s, %(on_missing)s, %(interval)s)
                    """,
                    _columns(settings)
                    | {
                        "id": route_id,
                        "workspace": source.workspace_id,
                        "name": name,
                        "source": source.id,
                        "target": target.id,
                    },
                )
            except errors.UniqueViolation as error:
                is_name = "name" in (error.diag.constraint_name or "")
                what = f"a route {name!r}" if is_name else f"a route from {source.key} to {target.key}"
                raise DuplicateNameError(f"there is {what} already") from None
            except errors.CheckViolation:
                raise InvalidSettingError(
                    f"{name!r} is not a valid name: use 1 to 63 lower-case letters, digits and inner hyphens"
                ) from None
            except errors.ForeignKeyViolation:
                raise InvalidSettingError(f"{source.key} or {target.key} was removed meanwhile") from None
            return await self._noted(conn, "add", route_id)

    async def get(self, workspace_id: UUID, route_id: UUID) -> Route:
        """One route of a workspace.

        Raises:
            RouteNotFoundError: If the workspace has no such route.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await _get(conn, route_id)

    async def find(self, key: str) -> Route:
        """The route of that key (``workspace/name``), or of that partition.

        Raises:
            RouteNotFoundError: If there is none.
        """
        workspace, _, name = key.partition("/")
        name = name.removeprefix(_MARK)
        async with self._db.scheduler() as conn:
            found = await fetch(
                conn,
                RouteSummary,
                _SUMMARIES + " WHERE w.slug = %(workspace)s AND r.name = %(name)s",
                workspace=workspace,
                name=name,
            )
        if not found:
            raise RouteNotFoundError(repr(key))
        return await self.get(found[0].workspace_id, found[0].id)

    async def of_workspace(self, workspace_id: UUID, *, after: str = "", limit: int = 1_000) -> list[Route]:
        """A workspace's routes by name: those that follow one, so many at most."""
        query = _ROUTES + " WHERE r.name > %(after)s ORDER BY r.name LIMIT %(limit)s"
        async with self._db.workspace(workspace_id) as conn:
            return [_route(row) for row in await _rows(conn, query, after=after, limit=limit)]

    async def all(self) -> list[RouteSummary]:
        """The routes of all workspaces, by key."""
        async with self._db.scheduler() as conn:
            return await fetch(conn, RouteSummary, _SUMMARIES + " ORDER BY w.slug, r.name")

    async def change(self, route: Route, settings: RouteSettings, *, if_version: int | None = None) -> Route:
        """Replace what a route does. All its records are looked at anew by its next run.

        Args:
            route: Which.
            settings: All of them.
            if_version: Only if this is still its version.

        Raises:
            InvalidSettingError, CycleError: As :meth:`add` does.
            VersionConflictError: If it has another version.
            RouteNotFoundError: If it was removed.
        """
        async with self._db.workspace(route.workspace_id) as conn:
            source, target = await ends(conn, route)
            settings = checked(settings, source, target)
            await _refuse_cycle(conn, route.name, source, target, settings.direction, route.id)
            done = await conn.execute(
                """
                UPDATE routes SET direction = %(direction)s, fields = %(fields)s, filter = %(filter)s,
                    conflict_policy = %(conflict_policy)s, match_keys = %(match_keys)s, on_delete = %(on_delete)s,
                    on_missing = %(on_missing)s, interval_minutes = %(interval)s,
                    version = version + 1, updated_at = now()
                WHERE id = %(id)s AND version = coalesce(%(version)s, version)
                """,
                _columns(settings) | {"id": route.id, "version": if_version},
            )
            if not done.rowcount:
                raise VersionConflictError(f"route {route.key}")
            return await self._noted(conn, "change", route.id)

    async def activate(self, route: Route, *, is_active: bool) -> Route:
        """Pause a route, or let it run by itself again.

        Raises:
            RouteNotFoundError: If it was removed.
        """
        async with self._db.workspace(route.workspace_id) as conn:
            await conn.execute(
                "UPDATE routes SET is_active = %s, updated_at = now() WHERE id = %s", (is_active, route.id)
            )
            return await self._noted(conn, "resume" if is_active else "pause", route.id)

    async def request(self, route: Route) -> Route:
        """Ask for a run now; Dagster's sensor takes that up, also for a route that is paused.

        Raises:
            RouteNotFoundError: If it was removed.
        """
        async with self._db.workspace(route.workspace_id) as conn:
            await conn.execute("UPDATE routes SET requested_at = now() WHERE id = %s", (route.id,))
            return await self._noted(conn, "run", route.id)

    async def remove(self, route: Route) -> None:
        """Remove a route with its links; records stay where they are on both sides.

        Raises:
            RouteNotFoundError: If it was removed already.
        """
        async with self._db.workspace(route.workspace_id) as conn:
            await self._noted(conn, "remove", route.id)
            if not (await conn.execute("DELETE FROM routes WHERE id = %s", (route.id,))).rowcount:
                raise RouteNotFoundError(route.key)

    async def _noted(self, conn: AsyncConnection[Any], what: str, route_id: UUID) -> Route:
        """The route, once the audit log says what was done with it."""
        route = await _get(conn, route_id)
        await audit.record(
            conn,
            route.workspace_id,
            actor=self._actor,
            action=f"route.{what}",
            subject=f"route {route_id}",
            outcome="allowed",
            detail={"name": route.name, "version": route.version},
        )
        return route

    # Runs

    async def begin(self, route: Route) -> None:
        """Note that a run begins now."""
        async with self._db.workspace(route.workspace_id) as conn:
            done = await conn.execute(
                """
                UPDATE routes
                SET status = 'running', started_at = now(), requested_at = NULL, error_message = NULL, counts = '{}'
                WHERE id = %s
                """,
                (route.id,),
            )
            if not done.rowcount:
                raise RouteNotFoundError(route.key)

    async def finish(self, route: Route, counts: Mapping[str, int], error: str | None = None) -> None:
        """Note that a run ended, what it did, and why it ended early."""
        async with self._db.workspace(route.workspace_id) as conn:
            await conn.execute(
                """
                UPDATE routes SET status = %s, finished_at = now(), counts = %s, error_message = %s WHERE id = %s
                """,
                ("error" if error else "success", Jsonb(dict(counts)), error, route.id),
            )

    async def due(self, now: datetime) -> list[RouteSummary]:
        """Routes that have something to do now, those that waited longest first.

        That is one that somebody asked for, paused or not. Of those that are active, it is one whose interval has
        passed; or, without an interval, one with changes that it has not dealt with, as soon as no sync of their
        connection is under way: a first load is pushed once, not batch by batch.
        """
        condition = """
            WHERE r.requested_at IS NOT NULL OR r.is_active AND (
                CASE WHEN r.interval_minutes IS NOT NULL
                THEN coalesce(r.started_at + 0.9 * make_interval(mins => r.interval_minutes) <= %(now)s, true)
                ELSE EXISTS (
                    SELECT FROM route_outbox AS o
                    WHERE (o.workspace_id, o.route_id) = (r.workspace_id, r.id) AND o.state IN ('due', 'sending')
                ) OR EXISTS (
                    SELECT FROM connector_configs AS c
                    LEFT JOIN route_cursors AS k ON (k.workspace_id, k.route_id) = (r.workspace_id, r.id)
                        AND k.side = CASE WHEN c.id = r.source_connection_id THEN 'source' ELSE 'target' END
                    WHERE c.workspace_id = r.workspace_id
                        AND (c.id = r.source_connection_id
                             OR (c.id = r.target_connection_id AND r.direction = 'two_way'))
                        AND (c.sync_status <> 'syncing' OR c.sync_started_at < %(now)s - interval '1 hour')
                        AND c.last_sync_at IS NOT NULL
                        AND (k.xid IS NULL OR k.scanned_to IS NOT NULL OR k.route_version <> r.version OR EXISTS (
                            SELECT FROM customer_changes AS l
                            WHERE (l.workspace_id, l.connection_id) = (c.workspace_id, c.id)
                                AND (l.xid, l.id) > (k.xid, k.id) AND l.xid < pg_snapshot_xmin(pg_current_snapshot())
                        ))
                ) END
            )
            ORDER BY r.started_at NULLS FIRST, w.slug, r.name
        """
        async with self._db.scheduler() as conn:
            return await fetch(conn, RouteSummary, _SUMMARIES + condition, now=now)


async def ends(conn: AsyncConnection[Any], route: Route) -> tuple[Connection, Connection]:
    """A route's two connections, in a transaction of its workspace.

    Raises:
        ConnectionNotFoundError: If one was removed.
    """
    return (
        await read_connection(conn, route.source_connection_id),
        await read_connection(conn, route.target_connection_id),
    )


async def _refuse_cycle(
    conn: AsyncConnection[Any],
    name: str,
    source: Connection,
    target: Connection,
    direction: Direction,
    route_id: UUID | None = None,
) -> None:
    """Refuse a route if other routes lead from its target back to its source. Paused ones count: they may resume."""
    # Locked, so that of two routes that close a circle together the second sees the first.
    await conn.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
    rows = await conn.execute(
        """
        SELECT r.name, r.direction, s.name, t.name FROM routes AS r
        JOIN connector_configs AS s ON s.id = r.source_connection_id
        JOIN connector_configs AS t ON t.id = r.target_connection_id
        WHERE r.id IS DISTINCT FROM %s ORDER BY r.name
        """,
        (route_id,),
    )
    onward: dict[str, list[tuple[str, str]]] = {}
    for other, other_direction, begin, end in await rows.fetchall():
        onward.setdefault(begin, []).append((other, end))
        if other_direction == "two_way":
            onward.setdefault(end, []).append((other, begin))
    goals = [(target.name, source.name), *([(source.name, target.name)] if direction == "two_way" else [])]
    for begin, goal in goals:
        if way := way_between(onward, begin, goal):
            raise CycleError(
                f"route {name!r} from {source.name} to {target.name} would close a circle: "
                f"{goal} -> {begin} (this route), {', '.join(way)}; records would go round for ever. "
                "Remove one of these routes, or make one route two-way instead of two"
            )


def _columns(settings: RouteSettings) -> dict[str, Any]:
    return {
        "direction": settings.direction,
        "fields": Jsonb([asdict(rule) for rule in settings.fields]),
        "filter": Jsonb([asdict(condition) for condition in settings.filter]),
        "conflict_policy": settings.conflict_policy,
        "match_keys": list(settings.match_keys),
        "on_delete": settings.on_delete,
        "on_missing": settings.on_missing,
        "interval": None if settings.interval is None else settings.interval // timedelta(minutes=1),
    }


async def _get(conn: AsyncConnection[Any], route_id: UUID) -> Route:
    rows = await _rows(conn, _ROUTES + " WHERE r.id = %(id)s", id=route_id)
    if not rows:
        raise RouteNotFoundError(route_id)
    return _route(rows[0])


async def _rows(conn: AsyncConnection[Any], query: str, **values: Any) -> list[dict[str, Any]]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


def _route(row: dict[str, Any]) -> Route:
    return Route(**{**row, "settings": read_settings(row["settings"])})
