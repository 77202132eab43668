"""Which subscriptions have something to deliver."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.lists import pages
from unified.store.lists.pages import TooSlowError
from unified.store.subscriptions.rows import Subscription, SubscriptionNotFoundError, read


async def due(db: Database, now: datetime) -> list[tuple[UUID, UUID]]:
    """Workspaces and ids of the subscriptions, of all workspaces, that may be followed now."""
    async with db.scheduler() as conn:
        rows = await conn.execute(
            "SELECT workspace_id, id FROM webhook_subscriptions"
            " WHERE is_active AND (retry_at IS NULL OR retry_at <= %s) ORDER BY workspace_id, id",
            (now,),
        )
        return await rows.fetchall()


async def has_changes(db: Database, workspace_id: UUID, subscription_id: UUID, now: datetime) -> bool:
    """Whether there is something to deliver now, changes or what was refused before."""
    async with db.workspace(workspace_id) as conn:
        rows = await conn.execute(
            "SELECT FROM undelivered_records WHERE subscription_id = %s AND retry_at <= %s LIMIT 1",
            (subscription_id, now),
        )
        if await rows.fetchone() is not None:
            return True
        try:
            one = await read(conn, subscription_id)
            return await has_more(conn, one)
        except SubscriptionNotFoundError:
            return False
        except (ConnectionNotFoundError, InvalidSettingError, TooSlowError):
            return True  # who delivers meets it as well, and puts the subscription off


async def has_more(conn: AsyncConnection[Any], one: Subscription) -> bool:
    """Whether a change comes behind its place, or the place is another server's.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If that can't be said in time.
    """
    start = await pages.start(conn)
    return start.server != one.server or bool(
        await pages.in_order_of_changes(
            conn, one.followed, one.wanted(), after=one.place, before=start.horizon, limit=1
        )
    )
