"""Until when a connection is left alone because its provider said so: after a day's limit, or in a maintenance.

Syncs by schedule and drains keep to it; what a person asks for is tried at once. Each sync that begins forgets the wait
and finds out anew (`unified.store.connections.registry`). Who is due is `unified.store.connections.turns`'s.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

LONGEST = timedelta(days=1)
"""No connection waits for longer. The longest limits of providers are a day's; a year is a mistake, or a clock that is
wrong, and to ask once a day costs one request."""


def until(now: str) -> str:
    """SQL for the time until when a connection ``c`` waits; null where it does not.

    Args:
        now: SQL for the present time.
    """
    # A wait that ends later than any may was written by a clock that has been set back since.
    latest = f"{now} + interval '{LONGEST.total_seconds():.0f} s'"
    return f"CASE WHEN c.waits_until > {now} AND c.waits_until <= {latest} THEN c.waits_until END"


async def note(conn: AsyncConnection[Any], connection_id: UUID, seconds: float) -> None:
    """Leave a connection alone for some time from now, or as long as it waits already where that is longer.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
        seconds: How long its provider asked for, however long that is.
    """
    await conn.execute(
        f"""
        UPDATE connector_configs AS c SET waits_until = greatest({until("now()")}, now() + %s), updated_at = now()
        WHERE id = %s
        """,  # noqa: S608 - an expression from above
        (timedelta(seconds=min(seconds, LONGEST.total_seconds())), connection_id),
    )


async def end(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """Wait no longer: with another credential or another address the limit may be another one."""
    await conn.execute(
        "UPDATE connector_configs SET waits_until = NULL, updated_at = now()"
        " WHERE id = %s AND waits_until IS NOT NULL",
        (connection_id,),
    )
