"""Keeps routes: which customers are pushed from one connection to another.

How a route's last run went, and when it is due, is :mod:`unified.store.routes.runs`'; what it has pushed is
:mod:`unified.store.routes.links`', what waits :mod:`unified.store.routes.outbox`'; what changed since is
:mod:`unified.store.records.changes`'.
"""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb

from unified.schema.entities import CUSTOMERS
from unified.store import audit
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, VersionConflictError
from unified.store.records import keys
from unified.store.records.tables import StreamKey
from unified.store.routes.cycles import place, refuse_cycle
from unified.store.routes.rows import (
    MARK,
    ROUTES,
    SUMMARIES,
    Route,
    RouteNotFoundError,
    RouteSummary,
    ends,
    read_route,
    read_routes,
)
from unified.store.routes.settings import RouteSettings, checked, stream_of
from unified.store.rows import fetch


class Routes:
    """Keeps routes."""

    def __init__(self, db: Database, *, actor: str = "unified") -> None:
        """Work on ``db``, in the name of ``actor`` for the audit log."""
        self._db = db
        self._actor = actor

    async def add(
        self,
        name: str,
        source: Connection,
        target: Connection,
        settings: RouteSettings | None = None,
        *,
        from_stream: str | None = None,
        to_stream: str | None = None,
        is_active: bool = True,
    ) -> Route:
        """Add a route.

        Args:
            name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
            source: Where records come from.
            target: Where they go to; of the same workspace.
            settings: What to do; by default all fields, one way, the source wins.
            from_stream: The source's stream of customers; by default its connector's only or first one.
            to_stream: The target's, likewise.
            is_active: Whether it runs by itself.

        Raises:
            InvalidSettingError: If source and target are one or of two workspaces, one has no such stream, or a setting
                can't work.
            CycleError: If records could come back to where they came from; the message names the way.
            DuplicateNameError: If the workspace has a route of that name, or another between the two streams.
        """
        streams = stream_of(source, from_stream), stream_of(target, to_stream)
        settings = checked(settings or RouteSettings(), source, target, streams)
        route_id = uuid4()
        async with self._db.workspace(source.workspace_id) as conn:
            await refuse_cycle(
                conn, name, place(source.name, streams[0]), place(target.name, streams[1]), settings.direction
            )
            try:
                async with keys.followed(conn, _streams(source, target, streams)):
                    await conn.execute(
                        """
                        INSERT INTO routes (id, workspace_id, name, source_connection_id, source_stream,
                            target_connection_id, target_stream, direction, fields, filter, conflict_policy, match_keys,
                            on_delete, on_missing, interval_minutes, is_active)
                        VALUES (%(id)s, %(workspace)s, %(name)s, %(source)s, %(from_stream)s, %(target)s, %(to_stream)s,
                            %(direction)s, %(fields)s, %(filter)s, %(conflict_policy)s, %(match_keys)s,
                            %(on_delete)s, %(on_missing)s, %(interval)s, %(is_active)s)
                        """,
                        _columns(settings)
                        | {
                            "id": route_id,
                            "workspace": source.workspace_id,
                            "name": name,
                            "source": source.id,
                            "from_stream": streams[0],
                            "target": target.id,
                            "to_stream": streams[1],
                            "is_active": is_active,
                        },
                    )
            except errors.UniqueViolation as error:
                is_name = error.diag.constraint_name != "one_route_between_two_streams"
                between = f"{place(source.key, streams[0])} to {place(target.key, streams[1])}"
                what = f"a route {name!r}" if is_name else f"a route from {between}"
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
            return await read_route(conn, route_id)

    async def find(self, key: str) -> Route:
        """The route of that key (``workspace/name``), or of that partition.

        Raises:
            RouteNotFoundError: If there is none.
        """
        workspace, _, name = key.partition("/")
        name = name.removeprefix(MARK)
        async with self._db.scheduler() as conn:
            found = await fetch(
                conn,
                RouteSummary,
                SUMMARIES + " WHERE w.slug = %(workspace)s AND r.name = %(name)s",
                workspace=workspace,
                name=name,
            )
        if not found:
            raise RouteNotFoundError(repr(key))
        return await self.get(found[0].workspace_id, found[0].id)

    async def of_workspace(self, workspace_id: UUID, *, after: str = "", limit: int = 1_000) -> list[Route]:
        """A workspace's routes by name: those that follow one, so many at most."""
        query = ROUTES + " WHERE r.name > %(after)s ORDER BY r.name LIMIT %(limit)s"
        async with self._db.workspace(workspace_id) as conn:
            return await read_routes(conn, query, after=after, limit=limit)

    async def all(self) -> list[RouteSummary]:
        """The routes of all workspaces, by key."""
        async with self._db.scheduler() as conn:
            return await fetch(conn, RouteSummary, SUMMARIES + " ORDER BY w.slug, r.name")

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
            streams = route.source_stream, route.target_stream
            settings = checked(settings, source, target, streams)
            begin, end = place(source.name, streams[0]), place(target.name, streams[1])
            await refuse_cycle(conn, route.name, begin, end, settings.direction, route.id)
            async with keys.followed(conn, _streams(source, target, streams)):
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
            streams = _streams(*await ends(conn, route), (route.source_stream, route.target_stream))
            async with keys.followed(conn, streams):
                removed = await conn.execute("DELETE FROM routes WHERE id = %s", (route.id,))
            if not removed.rowcount:
                raise RouteNotFoundError(route.key)

    async def _noted(self, conn: AsyncConnection[Any], what: str, route_id: UUID) -> Route:
        """The route, once the audit log says what was done with it."""
        route = await read_route(conn, route_id)
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


def _streams(source: Connection, target: Connection, names: tuple[str, str]) -> list[StreamKey]:
    """The two streams of a route that are named."""
    return [
        StreamKey(one.workspace_id, one.id, one.connector, CUSTOMERS, name)
        for one, name in zip((source, target), names, strict=True)
    ]


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
