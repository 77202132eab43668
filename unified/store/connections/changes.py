"""Changes that people make to connections, each with its entry in the audit log, in one transaction.

Every function works in a transaction of the workspace that its caller opened. How connections are found, and how their
syncs stand, is `unified.store.connections.registry`'s; whether they may be used,
`unified.store.connections.approval`'s; how they are removed, `unified.store.removal`'s.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from unified.kit.mapping.column_rules import Rules, loosened
from unified.store import audit
from unified.store.connections import waits
from unified.store.connections.rows import (
    Connection,
    ConnectionNotFoundError,
    ConnectionSummary,
    UnknownConnectorError,
    connection_key,
    read_connection,
)
from unified.store.errors import InvalidSettingError, VersionConflictError
from unified.store.rows import explained
from unified.store.workspaces.rows import WorkspaceNotFoundError

DEFAULT_SYNC_INTERVAL = timedelta(minutes=60)


async def add(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    connector: str,
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    streams: Collection[str] = (),
    columns: Rules | None = None,
    since: Mapping[str, str] | None = None,
    history: Collection[str] = (),
    sync_interval: timedelta = DEFAULT_SYNC_INTERVAL,
    is_active: bool = True,
    actor: str,
) -> Connection:
    """Add a connection; the arguments and what is raised are those of ``Registry.add_connection``."""
    rows = await conn.execute(
        """
        SELECT name FROM connectors AS c
        WHERE is_enabled AND (NOT is_document OR EXISTS (
            SELECT FROM connector_documents AS d WHERE d.connector = c.name AND d.state = 'installed'
            UNION ALL SELECT FROM deployment_documents AS d WHERE d.connector = c.name AND d.state = 'installed'
        ))
        ORDER BY name
        """
    )
    enabled = [row[0] for row in await rows.fetchall()]
    if connector not in enabled:
        raise UnknownConnectorError(
            f"there is no connector {connector!r}; "
            + (f"use one of: {', '.join(enabled)}" if enabled else "run `unified migrate` first")
        )
    connection_id = uuid4()
    with explained(f"connection {name!r}", without=WorkspaceNotFoundError(workspace_id)):
        await conn.execute(
            """
            INSERT INTO connector_configs
                (id, workspace_id, connector, name, settings, streams, columns, stored_columns, since, history,
                sync_interval_minutes, is_active)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            (
                connection_id,
                workspace_id,
                connector,
                name,
                Jsonb(dict(settings or {})),
                list(streams),
                *[Jsonb(columns or {})] * 2,
                Jsonb(dict(since or {})),
                list(history),
                _minutes(sync_interval),
                is_active,
            ),
        )
    connection = await read_connection(conn, connection_id)
    await log(conn, connection, "connection.add", actor, {"connector": connector, "key": connection.key})
    return connection


async def update(
    conn: AsyncConnection[Any],
    connection_id: UUID,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    streams: Collection[str] | None = None,
    columns: Rules | None = None,
    since: Mapping[str, str] | None = None,
    history: Collection[str] | None = None,
    sync_interval: timedelta | None = None,
    is_active: bool | None = None,
    if_version: int | None = None,
    actor: str,
) -> Connection:
    """Change a connection; what is None stays as it is.

    Other settings are another destination for its credential: where the workspace asks for approval, the connection
    waits for it again.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
        name: Its name.
        settings: All its settings.
        streams: Names of the streams that it reads; empty for its connector's usual ones.
        columns: All that is left out or hashed of its streams' records. A stream of which more is to be stored than
            before is read anew; what is stored follows by :func:`unified.sync.columns.settling.settle`.
        history: Names of all streams whose former states are kept.
        since: All days on which streams begin. A stream that is to begin earlier is read anew.
        sync_interval: How often to sync it.
        is_active: Whether to sync it by schedule.
        if_version: Change it only if this is still its version.
        actor: Who changes it, for the audit log.

    Raises:
        VersionConflictError: If it has another version by now.
        ConnectionNotFoundError: If the workspace has no such connection.
        DuplicateNameError: If the workspace has another connection of that name.
        InvalidSettingError: If the name or the interval is not usable.
    """
    values: dict[str, Any] = {
        "name": name,
        "settings": None if settings is None else Jsonb(dict(settings)),
        "streams": None if streams is None else list(streams),
        "columns": None if columns is None else Jsonb(columns),
        "since": None if since is None else Jsonb(dict(since)),
        "history": None if history is None else list(history),
        "sync_interval_minutes": None if sync_interval is None else _minutes(sync_interval),
        "is_active": is_active,
    }
    changed = {column: value for column, value in values.items() if value is not None}
    await lock(conn, connection_id, if_version)
    if columns is not None or since is not None:
        before = await read_connection(conn, connection_id)
        wider = [] if columns is None else with_more_columns(before.columns, columns)
        await _read_anew(
            conn, connection_id, [*wider, *([] if since is None else with_earlier_start(before.since, since))]
        )
    if changed:
        with explained(f"connection {name!r}"):
            await conn.execute(
                f"UPDATE connector_configs SET {', '.join(f'{column} = %s' for column in changed)}, "  # noqa: S608
                "updated_at = now() WHERE id = %s",  # columns from above
                (*changed.values(), connection_id),
            )
    if settings is not None:
        await waits.end(conn, connection_id)
    connection = await read_connection(conn, connection_id)
    if changed:
        detail: dict[str, Any] = {"changed": sorted(changed)}
        await log(
            conn,
            connection,
            "connection.update",
            actor,
            detail if is_active is None else {**detail, "is_active": is_active},
        )
    return connection


def with_more_columns(before: Rules, after: Rules) -> list[str]:
    """Streams of which more columns are to be stored than before, by name."""
    return sorted(stream for stream, fields in before.items() if loosened(fields, after.get(stream, {})))


def with_earlier_start(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Streams that are to begin earlier than before, by name."""
    return sorted(stream for stream, day in before.items() if after.get(stream, "") < day)


async def _read_anew(conn: AsyncConnection[Any], connection_id: UUID, streams: Sequence[str]) -> None:
    """Have the next sync read streams whole: what their cursors were made with is another scope."""
    await conn.execute(
        "UPDATE cursors SET scope = 'less' WHERE connector_config_id = %s AND stream = ANY(%s)",
        (connection_id, list(streams)),
    )


async def note_test(conn: AsyncConnection[Any], connection_id: UUID, error: str | None) -> Connection:
    """Keep what the provider said when it was asked whom the credential belongs to.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
        error: Why the credential is not accepted, without a secret; None if it is accepted.

    Raises:
        ConnectionNotFoundError: If the connection was removed meanwhile.
    """
    await conn.execute(
        "UPDATE connector_configs SET tested_at = now(), test_error = %s WHERE id = %s",
        (error, connection_id),
    )
    return await read_connection(conn, connection_id)


async def lock(conn: AsyncConnection[Any], connection_id: UUID, if_version: int | None) -> None:
    """Keep others from changing a connection, once it is seen to be of that version.

    Raises:
        VersionConflictError: If it has another version by now.
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    rows = await conn.execute(
        "SELECT version FROM connector_configs WHERE id = %s FOR NO KEY UPDATE", (connection_id,)
    )
    if (row := await rows.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    if if_version not in (None, row[0]):
        raise VersionConflictError(f"connection {await connection_key(conn, connection_id)}")


async def log(
    conn: AsyncConnection[Any],
    connection: ConnectionSummary,
    action: str,
    actor: str,
    detail: Mapping[str, Any],
) -> None:
    """Note in the audit log what somebody did to a connection."""
    await audit.record(
        conn,
        connection.workspace_id,
        actor=actor,
        action=action,
        subject=f"connection {connection.id}",
        outcome="allowed",
        detail=detail,
    )


def _minutes(interval: timedelta) -> int:
    minutes, rest = divmod(interval, timedelta(minutes=1))
    if rest or not 1 <= minutes <= 31 * 24 * 60:
        raise InvalidSettingError(f"a sync interval is 1 minute to 31 days in whole minutes, not {interval}")
    return minutes
