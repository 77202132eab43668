"""Which subscriptions have something to deliver."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.lists import pages
from unified.store.lists.pages import Start, TooSlowError, Wanted
from unified.store.subscriptions import changes
from unified.store.subscriptions.rows import Subscription, SubscriptionNotFoundError, read

LONGEST_STAND = timedelta(hours=1)


async def due(db: Database, now: datetime) -> list[tuple[UUID, UUID]]:
    """Workspaces and ids of the subscriptions, of all workspaces, that may be followed now."""
    async with db.scheduler() as conn:
        rows = await conn.execute(
            "SELECT workspace_id, id FROM webhook_subscriptions"
            " WHERE is_active AND (retry_at IS NULL OR retry_at <= %s) ORDER BY workspace_id, id",
            (now,),
        )
        return await rows.fetchall()


async def has_changes(
    db: Database, workspace_id: UUID, subscription_id: UUID, now: datetime, *, or_is_behind: bool = False
) -> bool:
    """Whether there is something to deliver now, changes or what was refused before.

    Args:
        db: Where.
        workspace_id: Whose subscription.
        subscription_id: Which.
        now: The time.
        or_is_behind: Whether it counts too that it has stood for :data:`LONGEST_STAND` while only other records changed
            than those that pass its filters: each look has to read past all of them.
    """
    async with db.workspace(workspace_id) as conn:
        rows = await conn.execute(
            "SELECT FROM undelivered_records WHERE subscription_id = %s AND retry_at <= %s LIMIT 1",
            (subscription_id, now),
        )
        if await rows.fetchone() is not None:
            return True
        try:
            one = await read(conn, subscription_id)
            start = await pages.start(conn)
            if await has_more(conn, one, start):
                return True
            stands = or_is_behind and now - one.moved_at >= LONGEST_STAND
            return stands and await passes_over(conn, one, start)
        except SubscriptionNotFoundError:
            return False
        except (ConnectionNotFoundError, InvalidSettingError, TooSlowError):
            return True  # who delivers meets it as well, and puts the subscription off


async def has_more(conn: AsyncConnection[Any], one: Subscription, start: Start) -> bool:
    """Whether a change comes behind its place, or the place is another server's.

    Args:
        conn: A transaction of the workspace, after :func:`unified.store.lists.pages.start`.
        one: The subscription.
        start: What that has returned.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If that can't be said in time.
    """
    return start.server != one.server or bool(
        await changes.in_order(conn, one, after=one.place, before=start.horizon, limit=1)
    )


async def passes_over(conn: AsyncConnection[Any], one: Subscription, start: Start) -> bool:
    """Whether records changed behind its place that its filters leave out; where none passes, its place may move on.

    Args:
        conn: A transaction of the workspace, after :func:`unified.store.lists.pages.start`.
        one: The subscription.
        start: What that has returned.

    Raises:
        TooSlowError: If that can't be said in time.
    """
    whole = Wanted(fields=tuple(one.followed.key), deleted="true")
    return bool(one.filters) and bool(
        await pages.in_order_of_changes(
            conn, one.followed, whole, after=one.place, before=start.horizon, limit=1
        )
    )
