"""A connection's state where a drain finds that it can't be used, not soon: it says so at once, and takes it back.

The next sync says for itself how the connection stands (`unified.store.connections.registry`).
"""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection


async def note(conn: AsyncConnection[Any], connection_id: UUID, error: str) -> None:
    """The connection can't be used until somebody does something, or for hours; in a transaction of its workspace."""
    await conn.execute(
        """
        UPDATE connector_configs SET sync_status = 'error', error_message = %s, updated_at = now()
        WHERE id = %s AND sync_status IN ('idle', 'success')
        """,
        (error, connection_id),
    )


async def take_back(conn: AsyncConnection[Any], connection_id: UUID, error: str) -> None:
    """It can be used again. What a sync has said since then stays."""
    await conn.execute(
        """
        UPDATE connector_configs SET error_message = NULL, updated_at = now(),
            sync_status = CASE WHEN last_sync_at IS NULL THEN 'idle' ELSE 'success' END
        WHERE id = %s AND sync_status = 'error' AND error_message = %s
        """,
        (connection_id, error),
    )
