"""Approval: in a workspace that asks for it, a new connection is not used before an admin has said yes.

The database puts a connection on hold when it is added, and again when its settings change (migration 0003). Here is
who lifts that, and the check that the credential store makes before it releases anything.
"""

from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from unified.store import audit
from unified.store.connections.rows import Connection, connection_key, read_connection
from unified.store.database import Database
from unified.store.errors import StoreError, VersionConflictError

Decision = Literal["approved", "rejected"]


class ConnectionNotApprovedError(StoreError):
    """The connection may not be used: nobody has approved it yet, or somebody has rejected it."""


async def decide(
    db: Database,
    workspace_id: UUID,
    connection_id: UUID,
    decision: Decision,
    *,
    actor: str,
    if_version: int | None = None,
) -> Connection:
    """Approve a connection or reject it; either can be taken back by the other.

    Args:
        db: The database.
        workspace_id: The workspace.
        connection_id: The connection.
        decision: ``approved`` or ``rejected``.
        actor: Who decides, for the connection and for the audit log.
        if_version: Decide only if this is still the connection's version: what is approved is what was looked at.

    Returns:
        The connection as it is now.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
        VersionConflictError: If it has another version.
    """
    async with db.workspace(workspace_id) as conn:
        key = await connection_key(conn, connection_id, lock=True)
        done = await conn.execute(
            """
            UPDATE connector_configs SET approval = %s, approval_by = %s, approval_at = now(), updated_at = now()
            WHERE id = %s AND version = COALESCE(%s, version)
            """,
            (decision, actor, connection_id, if_version),
        )
        if not done.rowcount:
            raise VersionConflictError(f"connection {key}")
        connection = await read_connection(conn, connection_id)
        await audit.record(
            conn,
            workspace_id,
            actor=actor,
            action="connection.approve" if decision == "approved" else "connection.reject",
            subject=f"connection {connection_id}",
            outcome="allowed",
            detail={"version": connection.version},
        )
        return connection


async def ensure_approved(conn: AsyncConnection[Any], connection_id: UUID, key: str) -> None:
    """Refuse a connection that may not be used.

    Args:
        conn: A transaction in its workspace.
        connection_id: The connection.
        key: Its ``workspace/name``, for the message.

    Raises:
        ConnectionNotApprovedError: Unless it is known to be approved.
    """
    rows = await conn.execute("SELECT approval FROM connector_configs WHERE id = %s", (connection_id,))
    row = await rows.fetchone()
    if row != ("approved",):
        state = "was rejected" if row == ("rejected",) else "waits for approval"
        raise ConnectionNotApprovedError(
            f"connection {key} {state}; an admin of its workspace approves it before it can be used"
        )
