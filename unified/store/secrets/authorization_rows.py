"""What credentials and authorizations have to know of each other's rows.

Both speak of one connection: `unified.store.secrets.credentials` keeps its tokens,
`unified.store.secrets.authorizations` what stands about them.
"""

from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

# The secrets of a connection that is authorized by OAuth, by field.
ACCESS_TOKEN = "access_token"  # noqa: S105 - a field's name
REFRESH_TOKEN = "refresh_token"  # noqa: S105
FORMER_REFRESH_TOKEN = "former_refresh_token"  # noqa: S105

IS_REFRESHED = f"""(
    kind = 'oauth_token' AND field = '{ACCESS_TOKEN}' AND EXISTS (
        SELECT FROM authorizations AS a
        WHERE a.connector_config_id = connector_credentials.connector_config_id
            AND (a.grant_type = 'client_credentials' OR EXISTS (
                SELECT FROM connector_credentials AS r
                WHERE r.connector_config_id = a.connector_config_id AND r.field = '{REFRESH_TOKEN}'
            ))
    )
)"""  # noqa: S608 - constants
"""Condition on a row of ``connector_credentials``: it is replaced before it expires, without anybody's doing."""


async def forget(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """A connection is authorized by OAuth no longer, in the caller's transaction."""
    await conn.execute("DELETE FROM authorizations WHERE connector_config_id = %s", (connection_id,))
    await conn.execute("DELETE FROM pending_authorizations WHERE connector_config_id = %s", (connection_id,))
    await set_right(conn, connection_id)


async def set_right(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """A connection no longer waits for a person to authorize it."""
    await conn.execute(
        """
        UPDATE connector_configs
        SET needs_reauth = false, sync_status = 'idle', error_message = NULL, updated_at = now()
        WHERE id = %s AND needs_reauth
        """,
        (connection_id,),
    )
