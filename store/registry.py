"""Keeps workspaces, their connections, the state of each connection's sync and its field rules.

A workspace's own things are read and changed inside it, where row level security shows nothing else. Only
names, intervals and states are seen across workspaces, by the scheduler's role. A connection's secrets are
kept by `store.credentials`, its cursors and records by modules of their own.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb

from store import inbox
from store.connections import (
    CONNECTIONS,
    SUMMARIES,
    Connection,
    ConnectionNotFoundError,
    ConnectionSummary,
    DuplicateNameError,
    InvalidSettingError,
    UnknownConnectorError,
    Workspace,
    WorkspaceNotFoundError,
    connection_key,
    fetch,
    read_connection,
)
from store.database import Database
from store.errors import StoreError
from unified_schema.base import UnifiedBase
from unified_schema.customer import UnifiedCustomer
from unified_schema.event import UnifiedEvent
from unified_schema.field_rules import FieldRule
from unified_schema.invoice import UnifiedInvoice

DEFAULT_SYNC_INTERVAL = timedelta(minutes=60)
MAX_ERROR_LENGTH = 1000
"""Characters of an error message that are kept."""

_MODELS: dict[str, type[UnifiedBase]] = {
    "customers": UnifiedCustomer,
    "invoices": UnifiedInvoice,
    "events": UnifiedEvent,
}

# That an error message holds no secret is its writer's duty. This is the net under it, for the message of a
# library that quotes a header or a URL.
_SECRET_LIKE = re.compile(
    r"(?i)(?<=://)[^\s/@]+(?=@)"  # the user info of a URL
    r"|(?<=bearer )[^\s'\"]+|(?<=basic )[^\s'\"]+"
    r"|\b(?:sk|rk|pk|whsec|pat|ghp|xox[a-z])[-_][\w-]{8,}"
)

_WORKSPACES = "SELECT id, slug, name, created_at FROM workspaces"


class Registry:
    """Keeps workspaces, connections, sync states and field rules."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        self._db = db

    # Workspaces

    async def create_workspace(self, slug: str, name: str | None = None) -> Workspace:
        """Make a workspace.

        Args:
            slug: 1 to 63 lower-case letters, digits and inner hyphens.
            name: For people; the slug unless given.

        Raises:
            DuplicateNameError: If the slug is taken.
            InvalidSettingError: If it is no slug.
        """
        workspace_id = uuid4()  # chosen here, because a row may only be added inside its own workspace
        async with self._db.workspace(workspace_id) as conn:
            with _explained(f"workspace {slug!r}"):
                await conn.execute(
                    "INSERT INTO workspaces (id, slug, name) VALUES (%s, %s, %s)",
                    (workspace_id, slug, name or slug),
                )
            return (await fetch(conn, Workspace, _WORKSPACES))[0]

    async def get_workspace(self, slug: str) -> Workspace:
        """The workspace of that slug.

        Raises:
            WorkspaceNotFoundError: If there is none.
        """
        async with self._db.scheduler() as conn:
            found = await fetch(conn, Workspace, _WORKSPACES + " WHERE slug = %(slug)s", slug=slug)
        if not found:
            raise WorkspaceNotFoundError(repr(slug))
        return found[0]

    async def workspaces(self) -> list[Workspace]:
        """All workspaces, by slug."""
        async with self._db.scheduler() as conn:
            return await fetch(conn, Workspace, _WORKSPACES + " ORDER BY slug")

    async def delete_workspace(self, workspace_id: UUID) -> None:
        """Delete a workspace with all it owns: connections, credentials, records and its audit log.

        Raises:
            WorkspaceNotFoundError: If there is none.
        """
        async with self._db.workspace(workspace_id) as conn:
            # Locked, so that no connection is added meanwhile.
            if not (await conn.execute("SELECT FROM workspaces FOR UPDATE")).rowcount:
                raise WorkspaceNotFoundError(workspace_id)
            for connection in await fetch(conn, Connection, CONNECTIONS):
                await _remove(conn, connection.id)
            await conn.execute("DELETE FROM workspaces")

    # Connections

    async def add_connection(
        self,
        workspace_id: UUID,
        connector: str,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        sync_interval: timedelta = DEFAULT_SYNC_INTERVAL,
        is_active: bool = True,
    ) -> Connection:
        """Add a connection to a workspace.

        Args:
            workspace_id: The workspace.
            connector: Name of an enabled connector.
            name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
            settings: JSON values for the adapter's settings; no secret.
            sync_interval: How often to sync: whole minutes, up to 31 days.
            is_active: Whether to sync it by schedule.

        Raises:
            UnknownConnectorError: If there is no such connector, or it is disabled.
            DuplicateNameError: If the workspace has a connection of that name.
            WorkspaceNotFoundError: If there is no such workspace.
            InvalidSettingError: If the name or the interval is not usable.
        """
        async with self._db.workspace(workspace_id) as conn:
            rows = await conn.execute("SELECT name FROM connectors WHERE is_enabled ORDER BY name")
            enabled = [row[0] for row in await rows.fetchall()]
            if connector not in enabled:
                raise UnknownConnectorError(
                    f"there is no connector {connector!r}; "
                    + (f"use one of: {', '.join(enabled)}" if enabled else "run `unified migrate` first")
                )
            connection_id = uuid4()
            with _explained(f"connection {name!r}", without=WorkspaceNotFoundError(workspace_id)):
                await conn.execute(
                    """
                    INSERT INTO connector_configs
                        (id, workspace_id, connector, name, settings, sync_interval_minutes, is_active)
                    VALUES (%s, %s, %s, %s, %s, %s, %s)
                    """,
                    (
                        connection_id,
                        workspace_id,
                        connector,
                        name,
                        Jsonb(dict(settings or {})),
                        _minutes(sync_interval),
                        is_active,
                    ),
                )
            return await read_connection(conn, connection_id)

    async def get_connection(self, workspace_id: UUID, connection_id: UUID) -> Connection:
        """One connection of a workspace.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await read_connection(conn, connection_id)

    async def connections(self, workspace_id: UUID) -> list[Connection]:
        """A workspace's connections, by name."""
        async with self._db.workspace(workspace_id) as conn:
            return await fetch(conn, Connection, CONNECTIONS + " ORDER BY c.name")

    async def find(self, key: str) -> Connection:
        """The connection of that key (``workspace/name``).

        Raises:
            ConnectionNotFoundError: If there is none.
        """
        workspace, _, name = key.partition("/")
        async with self._db.scheduler() as conn:
            found = await fetch(
                conn,
                ConnectionSummary,
                SUMMARIES + " WHERE w.slug = %(workspace)s AND c.name = %(name)s",
                workspace=workspace,
                name=name,
            )
        if not found:
            raise ConnectionNotFoundError(repr(key))
        return await self.get_connection(found[0].workspace_id, found[0].id)

    async def all_connections(self) -> list[ConnectionSummary]:
        """The connections of all workspaces, by key."""
        async with self._db.scheduler() as conn:
            return await fetch(conn, ConnectionSummary, SUMMARIES + " ORDER BY w.slug, c.name")

    async def due(self, now: datetime, running: Collection[str] = ()) -> list[ConnectionSummary]:
        """Connections that should be synced now, the longest waiting first.

        Due is an active connection of an enabled connector, nine tenths of whose interval have passed since
        its last sync began. The tenth is slack: a schedule ticks at fixed times and a sync begins seconds
        after its tick, so the next tick comes a little early, and the one after that too late.
        Due at once is one whose last pull of a stream stopped at its time limit.

        Args:
            now: The time, with a time zone.
            running: Keys of connections with a run under way; they are left out. A connection that is
                ``syncing`` and not named here was left behind by a run that died, and is due like any other.
        """
        condition = """
            JOIN connectors AS k ON k.name = c.connector
            WHERE c.is_active AND k.is_enabled AND w.slug || '/' || c.name <> ALL (%(running)s) AND (
                c.sync_started_at IS NULL
                OR c.sync_started_at + 0.9 * make_interval(mins => c.sync_interval_minutes) <= %(now)s
                OR EXISTS (
                    SELECT FROM sync_history AS h
                    WHERE (h.workspace_id, h.connector_config_id) = (c.workspace_id, c.id)
                        AND h.finished_at IS NOT NULL AND NOT h.is_complete AND h.error_message IS NULL
                        -- One that is older is due by its interval.
                        AND h.started_at > %(now)s - make_interval(mins => c.sync_interval_minutes)
                        AND NOT EXISTS (
                            SELECT FROM sync_history AS later
                            WHERE (later.workspace_id, later.connector_config_id, later.stream)
                                = (h.workspace_id, h.connector_config_id, h.stream)
                                AND later.started_at > h.started_at
                        )
                )
            )
            ORDER BY c.sync_started_at NULLS FIRST, w.slug, c.name
        """
        async with self._db.scheduler() as conn:
            return await fetch(conn, ConnectionSummary, SUMMARIES + condition, now=now, running=list(running))

    async def update_connection(
        self,
        workspace_id: UUID,
        connection_id: UUID,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        sync_interval: timedelta | None = None,
        is_active: bool | None = None,
    ) -> Connection:
        """Change a connection; what is None stays as it is.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
            DuplicateNameError: If the workspace has another connection of that name.
            InvalidSettingError: If the name or the interval is not usable.
        """
        async with self._db.workspace(workspace_id) as conn:
            with _explained(f"connection {name!r}"):
                await conn.execute(
                    """
                    UPDATE connector_configs SET
                        name = COALESCE(%s, name), settings = COALESCE(%s, settings),
                        sync_interval_minutes = COALESCE(%s, sync_interval_minutes),
                        is_active = COALESCE(%s, is_active), updated_at = now()
                    WHERE id = %s
                    """,
                    (
                        name,
                        None if settings is None else Jsonb(dict(settings)),
                        None if sync_interval is None else _minutes(sync_interval),
                        is_active,
                        connection_id,
                    ),
                )
            return await read_connection(conn, connection_id)

    async def remove_connection(self, workspace_id: UUID, connection_id: UUID) -> None:
        """Remove a connection with its credentials, cursors, history and every record that it brought.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            await _remove(conn, connection_id)

    # Sync state

    async def begin_sync(self, workspace_id: UUID, connection_id: UUID) -> None:
        """Note that a sync begins now.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            done = await conn.execute(
                """
                UPDATE connector_configs
                SET sync_status = 'syncing', sync_started_at = now(), error_message = NULL, updated_at = now()
                WHERE id = %s
                """,
                (connection_id,),
            )
            if not done.rowcount:
                raise ConnectionNotFoundError(connection_id)

    async def finish_sync(self, workspace_id: UUID, connection_id: UUID) -> None:
        """Note that a sync ended.

        The state follows from the history, so that the success of one stream does not hide the failure of
        another: ``error`` as long as the last pull of any stream failed, with the newest message, else
        ``success``.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            # Locked, so that of two streams that end at once the second sees what became of the first.
            await connection_key(conn, connection_id, lock=True)
            failures = await conn.execute(
                """
                SELECT error_message FROM (
                    SELECT DISTINCT ON (stream) error_message, started_at FROM sync_history
                    WHERE connector_config_id = %s AND mode <> 'remap' ORDER BY stream, started_at DESC
                ) AS last_pulls
                WHERE error_message IS NOT NULL ORDER BY started_at DESC LIMIT 1
                """,
                (connection_id,),
            )
            failure = await failures.fetchone()
            await conn.execute(
                """
                UPDATE connector_configs
                SET sync_status = %(status)s, error_message = %(error)s, updated_at = now(),
                    last_sync_at = CASE %(status)s WHEN 'success' THEN now() ELSE last_sync_at END
                WHERE id = %(id)s
                """,
                {
                    "status": "error" if failure else "success",
                    "error": failure[0] if failure else None,
                    "id": connection_id,
                },
            )

    # Field rules

    async def mappings(self, connection: ConnectionSummary, stream: str) -> list[FieldRule]:
        """What the workspace maps beyond the adapter's mapping of a stream, by target."""
        async with self._db.workspace(connection.workspace_id) as conn:
            return await fetch(
                conn,
                FieldRule,
                """
                SELECT source_path, target_field FROM schema_mappings
                WHERE connector_config_id = %(id)s AND stream = %(stream)s AND is_active ORDER BY target_field
                """,
                id=connection.id,
                stream=stream,
            )

    async def set_mapping(self, connection: ConnectionSummary, stream: str, rule: FieldRule) -> None:
        """Add a rule, or replace the one that fills the same field.

        Raises:
            InvalidSettingError: If there is no such stream, or the rule can't work for its model.
            ConnectionNotFoundError: If the connection is gone.
        """
        if stream not in _MODELS or not rule.source_path:
            raise InvalidSettingError(
                f"a field rule needs a source path and a stream of {', '.join(_MODELS)}, not {stream!r}"
            )
        try:
            rule.check(_MODELS[stream])
        except ValueError as error:
            raise InvalidSettingError(str(error)) from None
        async with self._db.workspace(connection.workspace_id) as conn:
            with _explained("field rule", without=ConnectionNotFoundError(connection.key)):
                await conn.execute(
                    """
                    INSERT INTO schema_mappings
                        (workspace_id, connector_config_id, stream, source_path, target_field)
                    VALUES (%s, %s, %s, %s, %s)
                    ON CONFLICT (workspace_id, connector_config_id, stream, target_field)
                    DO UPDATE SET source_path = excluded.source_path, is_active = true, updated_at = now()
                    """,
                    (connection.workspace_id, connection.id, stream, rule.source_path, rule.target_field),
                )

    async def remove_mapping(self, connection: ConnectionSummary, stream: str, target_field: str) -> None:
        """Remove the rule that fills a field.

        Raises:
            InvalidSettingError: If there is none.
        """
        async with self._db.workspace(connection.workspace_id) as conn:
            done = await conn.execute(
                """
                DELETE FROM schema_mappings
                WHERE connector_config_id = %s AND stream = %s AND target_field = %s
                """,
                (connection.id, stream, target_field),
            )
            if not done.rowcount:
                raise InvalidSettingError(f"no rule of {connection.key} fills {target_field!r} of {stream}")


def presentable(error: str) -> str:
    """An error message as it may be kept: on one line, bounded, with what looks like a credential masked."""
    return _SECRET_LIKE.sub("********", " ".join(error.split()))[:MAX_ERROR_LENGTH] or "unknown error"


async def _remove(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    # The connection goes first. Its cursors go with it: that waits for a batch that is being committed, and
    # makes a later one fail. What such a batch brought is visible afterwards, and goes too.
    rows = await conn.execute(
        "DELETE FROM connector_configs WHERE id = %s RETURNING connector", (connection_id,)
    )
    if (row := await rows.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    for table in ("unified_customers", "unified_invoices", "unified_events"):
        await conn.execute(
            f"DELETE FROM {table} WHERE connection_id = %s AND source_system = %s",  # noqa: S608 - names from above
            (connection_id, row[0]),
        )
    await inbox.forget(conn, connection_id)


def _minutes(interval: timedelta) -> int:
    minutes, rest = divmod(interval, timedelta(minutes=1))
    if rest or not 1 <= minutes <= 31 * 24 * 60:
        raise InvalidSettingError(f"a sync interval is 1 minute to 31 days in whole minutes, not {interval}")
    return minutes


@contextmanager
def _explained(what: str, *, without: StoreError | None = None) -> Iterator[None]:
    """Say in words which rule of the tables a name breaks.

    Args:
        what: The thing that is named.
        without: Raised where the row that it would belong to does not exist.
    """
    try:
        yield
    except errors.UniqueViolation:
        raise DuplicateNameError(f"there is a {what} already; choose another name") from None
    except errors.CheckViolation:
        raise InvalidSettingError(
            f"a {what} can't be: use 1 to 63 lower-case letters, digits and inner hyphens"
        ) from None
    except errors.ForeignKeyViolation:
        if without is None:
            raise
        raise without from None
