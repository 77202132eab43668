"""Keeps connections and the state of each one's sync.

A workspace's own things are read and changed inside it, where row level security shows nothing else. Only
names, intervals and states are seen across workspaces, by the scheduler's role; whose turn it is says
`unified.store.connections.turns`. A connection's secrets are kept by `unified.store.secrets.credentials`, its field
rules by `unified.store.connections.field_rules`, its cursors and records by modules of their own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from unified.kit.secrets import without_lookalikes
from unified.store.connections import changes, waits
from unified.store.connections.across import read_across
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL
from unified.store.connections.rows import (
    CONNECTIONS,
    READS,
    SUMMARIES,
    Connection,
    ConnectionNotFoundError,
    ConnectionSummary,
    connection_key,
    read_connection,
)
from unified.store.database import Database
from unified.store.rows import fetch

MAX_ERROR_LENGTH = 1000
"""Characters of an error message that are kept."""


@dataclass(frozen=True, slots=True)
class _Settings:
    id: UUID
    settings: Mapping[str, Any]


class Registry:
    """Keeps connections and the states of their syncs."""

    def __init__(self, db: Database) -> None:
        """Work on ``db``."""
        self._db = db

    async def add_connection(
        self,
        workspace_id: UUID,
        connector: str,
        name: str,
        settings: Mapping[str, Any] | None = None,
        *,
        streams: Collection[str] = (),
        sync_interval: timedelta = DEFAULT_SYNC_INTERVAL,
        is_active: bool = True,
        actor: str = "unified",
    ) -> Connection:
        """Add a connection to a workspace.

        Args:
            workspace_id: The workspace.
            connector: Name of an enabled connector.
            name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
            settings: JSON values for the adapter's settings; no secret.
            streams: Names of the streams that it reads; empty for its connector's usual ones.
            sync_interval: How often to sync: whole minutes, up to 31 days.
            is_active: Whether to sync it by schedule.
            actor: Who adds it, for the audit log.

        Raises:
            UnknownConnectorError: If there is no such connector, or it is disabled.
            DuplicateNameError: If the workspace has a connection of that name.
            WorkspaceNotFoundError: If there is no such workspace.
            InvalidSettingError: If the name or the interval is not usable.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await changes.add(
                conn,
                workspace_id,
                connector,
                name,
                settings,
                streams=streams,
                sync_interval=sync_interval,
                is_active=is_active,
                actor=actor,
            )

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

    async def settings(self, connections: Sequence[ConnectionSummary]) -> dict[UUID, Mapping[str, Any]]:
        """Settings of connections, of whichever workspaces, by their ids."""
        query = "SELECT id, settings FROM connector_configs WHERE (workspace_id, id) = (own, one)"
        found = await read_across(self._db, connections, _Settings, "id uuid, settings jsonb", query)
        return {one.id: one.settings for one in found}

    async def all_keys(self) -> list[tuple[str, str]]:
        """Connector and key of each connection of all workspaces."""
        async with self._db.scheduler() as conn:
            rows = await conn.execute(
                """
                SELECT c.connector, w.slug || '/' || c.name
                FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id
                """
            )
            return await rows.fetchall()

    async def states(self) -> dict[tuple[str, str], int]:
        """How many connections of all workspaces are in which state, by connector and state.

        The state is ``pending``, ``rejected`` or ``paused`` for one that is not synced, else how its last sync stands.
        """
        async with self._db.scheduler() as conn:
            rows = await conn.execute(
                """
                SELECT connector, CASE WHEN approval <> 'approved' THEN approval
                                       WHEN NOT is_active THEN 'paused' ELSE sync_status END, count(*)
                FROM connector_configs GROUP BY 1, 2
                """
            )
            return {(connector, state): count for connector, state, count in await rows.fetchall()}

    async def update_connection(
        self,
        workspace_id: UUID,
        connection_id: UUID,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        streams: Collection[str] | None = None,
        sync_interval: timedelta | None = None,
        is_active: bool | None = None,
        if_version: int | None = None,
        actor: str = "unified",
    ) -> Connection:
        """Change a connection; see :func:`unified.store.connections.changes.update`."""
        async with self._db.workspace(workspace_id) as conn:
            return await changes.update(
                conn,
                connection_id,
                name=name,
                settings=settings,
                streams=streams,
                sync_interval=sync_interval,
                is_active=is_active,
                if_version=if_version,
                actor=actor,
            )

    # Sync state

    async def begin_sync(self, workspace_id: UUID, connection_id: UUID) -> None:
        """Note that a sync begins now. It finds out anew whether the provider lets it wait.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            done = await conn.execute(
                """
                UPDATE connector_configs
                SET sync_status = 'syncing', sync_started_at = now(), error_message = NULL, waits_until = NULL,
                    updated_at = now()
                WHERE id = %s
                """,
                (connection_id,),
            )
            if not done.rowcount:
                raise ConnectionNotFoundError(connection_id)

    async def finish_sync(
        self, workspace_id: UUID, connection_id: UUID, *, wait: float | None = None
    ) -> None:
        """Note that a sync ended.

        The state follows from the history, so that the success of one stream does not hide the failure of
        another: ``error`` as long as the last pull of any stream that it reads failed, with the newest message,
        else ``success``.

        Args:
            workspace_id: The workspace.
            connection_id: The connection.
            wait: Seconds for which the provider asked to be left alone, where it did.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            # Locked, so that of two streams that end at once the second sees the outcome of the first.
            await connection_key(conn, connection_id, lock=True)
            failures = await conn.execute(
                f"""
                SELECT error_message FROM (
                    SELECT DISTINCT ON (h.stream) h.error_message, h.started_at FROM sync_history AS h
                    JOIN connector_configs AS c ON c.id = h.connector_config_id
                    JOIN connectors AS k ON k.name = c.connector
                    WHERE h.connector_config_id = %s AND h.mode <> 'remap' AND {READS}
                    ORDER BY h.stream, h.started_at DESC
                ) AS last_pulls
                WHERE error_message IS NOT NULL ORDER BY started_at DESC LIMIT 1
                """,  # noqa: S608 - the condition from above
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
            if wait is not None:
                await waits.note(conn, connection_id, wait)


def presentable(error: str) -> str:
    """An error message as it may be kept: on one line, bounded, with what looks like a credential masked.

    That it holds no secret is its writer's duty. This is the net under it, for the message of a library that quotes a
    header or a URL. What PostgreSQL can't hold, as a provider may quote it from a record, is replaced.
    """
    error = error.replace("\x00", "\ufffd").encode(errors="replace").decode()
    return without_lookalikes(" ".join(error.split()))[:MAX_ERROR_LENGTH] or "unknown error"
