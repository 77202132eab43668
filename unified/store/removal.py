"""Removing a connection or a workspace, with all that it brought.

Rows of every room go, so this stands above the rooms.
"""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.schema.entities import ENTITIES
from unified.store import audit
from unified.store.connections import changes
from unified.store.connections.rows import (
    CONNECTIONS,
    Connection,
    ConnectionNotFoundError,
    read_connection,
)
from unified.store.database import Database
from unified.store.identities import records as identity_records
from unified.store.inbox import events as inbox
from unified.store.readers import granted
from unified.store.records import keys
from unified.store.records.counts import invoiced
from unified.store.rows import fetch
from unified.store.workspaces.rows import WorkspaceNotFoundError


async def remove_connection(
    db: Database,
    workspace_id: UUID,
    connection_id: UUID,
    *,
    if_version: int | None = None,
    actor: str = "unified",
) -> None:
    """Remove a connection with its credentials, cursors, routes, history and every record that it brought.

    Args:
        db: The database.
        workspace_id: The workspace.
        connection_id: Which connection.
        if_version: The version that was looked at: do it only if it still is that one.
        actor: Who removes it, for the audit log.

    Raises:
        VersionConflictError: If it has another version by now.
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    async with db.workspace(workspace_id) as conn:
        await changes.lock(conn, connection_id, if_version)
        connection = await read_connection(conn, connection_id)
        await _forget(conn, connection_id)
        await changes.log(conn, connection, "connection.remove", actor, {"key": connection.key})


async def delete_workspace(db: Database, workspace_id: UUID, *, actor: str = "unified") -> None:
    """Delete a workspace with all it owns: connections, credentials, records, readers.

    That it was removed, and what its audit log said, stays in the deployment's log, without the names of people.

    Args:
        db: The database.
        workspace_id: The workspace.
        actor: Who removes it, for the deployment's log.

    Raises:
        WorkspaceNotFoundError: If there is none.
    """
    async with db.workspace(workspace_id) as conn:
        # Locked, so that no connection is added meanwhile.
        rows = await conn.execute("SELECT slug FROM workspaces FOR UPDATE")
        if (row := await rows.fetchone()) is None:
            raise WorkspaceNotFoundError(workspace_id)
        connections = await fetch(conn, Connection, CONNECTIONS)
        for connection in connections:
            await _forget(conn, connection.id)
        await audit.keep_for_deployment(conn, workspace_id)
        await audit.record_of_deployment(
            conn,
            actor=actor,
            action="workspace.remove",
            subject=f"workspace {workspace_id}",
            workspace=workspace_id,
            detail={"slug": row[0], "connections": len(connections)},
        )
        await conn.execute("DELETE FROM workspaces")
    # They read nothing any more. The services' login may not remove them; who may does it with the next reader.
    await granted.sweep(db)


async def _forget(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """Delete all that a connection has, without an entry in the log."""
    # The connection goes first. Its cursors go with it: that waits for a batch that is being committed, and
    # makes a later one fail. What such a batch brought is visible afterwards, and goes too.
    rows = await conn.execute(
        "DELETE FROM connector_configs WHERE id = %s RETURNING connector, workspace_id", (connection_id,)
    )
    if (row := await rows.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    for entity in ENTITIES:
        if entity.history:
            await conn.execute(
                f"DELETE FROM {entity.history} WHERE connection_id = %s",  # noqa: S608 - names from above
                (connection_id,),
            )
        await conn.execute(
            f"DELETE FROM {entity.table} WHERE connection_id = %s AND source_system = %s",  # noqa: S608 - names from above
            (connection_id, row[0]),
        )
    await invoiced.forget(conn, connection_id)
    await keys.sweep(conn, connection_id)
    await inbox.forget(conn, connection_id)
    await identity_records.forget(conn, row[1], connection_id)
