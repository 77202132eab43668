"""How far a subscription has come, and what its receiver did not take.

Each function works in the caller's transaction of the workspace.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from unified.store.lists.pages import Place, Row
from unified.store.rows import fetch
from unified.store.subscriptions.rows import Subscription

UndeliveredState = Literal["waiting", "given_up"]
"""Sent again by itself; not before a person asks for that."""

_LONGEST_ERROR = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A record that a receiver did not take while it took others.

    Attributes:
        row_id: Its unified id, or the identity's.
        key: Values of the list's key.
        attempts: How often it was sent.
        retry_at: When it is sent again; None where it was given up.
        error: Why it was not taken.
        failed_at: When that was.
    """

    row_id: UUID
    key: Sequence[str]
    attempts: int
    retry_at: datetime | None
    error: str
    failed_at: datetime


async def moved(conn: AsyncConnection[Any], subscription: Subscription, place: Place, server: int) -> None:
    """Note that all up to a place is dealt with."""
    await conn.execute(
        """
        UPDATE webhook_subscriptions SET xid = %s::text::xid8, row_id = %s, server = %s, moved_at = clock_timestamp(),
            failures = 0, retry_at = NULL, error = NULL
        WHERE id = %s
        """,
        (place.xid, place.id, server, subscription.id),
    )


async def taken(conn: AsyncConnection[Any], subscription: Subscription, ids: Sequence[UUID]) -> None:
    """Count what was delivered now, and forget that some of it was not taken before."""
    await conn.execute(
        "UPDATE webhook_subscriptions SET delivered = delivered + %s WHERE id = %s",
        (len(ids), subscription.id),
    )
    await settle(conn, subscription, ids)


async def failed(
    conn: AsyncConnection[Any], subscription: Subscription, error: str, retry_at: datetime | None
) -> None:
    """Note that the receiver takes nothing now. Without a time to try it again, the subscription ends.

    One that was given another URL meanwhile stays as it is.
    """
    await conn.execute(
        """
        UPDATE webhook_subscriptions
        SET failures = failures + 1, error = %(error)s, retry_at = %(retry_at)s,
            is_active = is_active AND %(retry_at)s::timestamptz IS NOT NULL
        WHERE id = %(id)s AND url = %(url)s
        """,
        {
            "error": error[:_LONGEST_ERROR],
            "retry_at": retry_at,
            "id": subscription.id,
            "url": subscription.url,
        },
    )


async def undelivered(
    conn: AsyncConnection[Any], subscription: Subscription, *, due: datetime | None = None, limit: int = 1_000
) -> list[Undelivered]:
    """What a receiver did not take, that failed first coming first; with ``due``, what is to be sent again then."""
    return await fetch(
        conn,
        Undelivered,
        """
        SELECT row_id, key, attempts, retry_at, error, failed_at FROM undelivered_records
        WHERE subscription_id = %(id)s AND (%(due)s::timestamptz IS NULL OR retry_at <= %(due)s)
        ORDER BY failed_at, row_id LIMIT %(limit)s
        """,
        id=subscription.id,
        due=due,
        limit=limit,
    )


async def page(
    conn: AsyncConnection[Any],
    subscription: Subscription,
    *,
    state: UndeliveredState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Undelivered]:
    """A page of what a receiver did not take, by id: an order that no attempt changes.

    Args:
        conn: A transaction of the workspace.
        subscription: Whose receiver.
        state: Those in this state only.
        after: Id of the last record read so far.
        limit: How many at most.
    """
    return await fetch(
        conn,
        Undelivered,
        """
        SELECT row_id, key, attempts, retry_at, error, failed_at FROM undelivered_records
        WHERE subscription_id = %(id)s AND (%(after)s::uuid IS NULL OR row_id > %(after)s)
            AND (%(state)s::text IS NULL OR (%(state)s = 'waiting') = (retry_at IS NOT NULL))
        ORDER BY row_id LIMIT %(limit)s
        """,
        id=subscription.id,
        state=state,
        after=after,
        limit=limit,
    )


async def counts(conn: AsyncConnection[Any], ids: Iterable[UUID]) -> dict[UUID, dict[UndeliveredState, int]]:
    """How many records of each of these subscriptions were not taken, by state."""
    ids = list(ids)
    rows = await conn.execute(
        """
        SELECT subscription_id, count(retry_at), count(*) - count(retry_at) FROM undelivered_records
        WHERE subscription_id = ANY(%s) GROUP BY subscription_id
        """,
        (ids,),
    )
    found = {one: (waiting, given_up) for one, waiting, given_up in await rows.fetchall()}
    return {
        one: {"waiting": waiting, "given_up": given_up}
        for one in ids
        for waiting, given_up in (found.get(one, (0, 0)),)
    }


async def keep(
    conn: AsyncConnection[Any],
    subscription: Subscription,
    refused: Iterable[tuple[Row, str, int, datetime | None]],
) -> None:
    """Keep records that were not taken: which, why, how often they were sent, when they are sent again."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO undelivered_records (workspace_id, subscription_id, row_id, key, attempts, retry_at, error)
            VALUES (%(workspace)s, %(subscription)s, %(row)s, %(key)s, %(attempts)s, %(retry_at)s, %(error)s)
            ON CONFLICT (workspace_id, subscription_id, row_id) DO UPDATE
            SET attempts = excluded.attempts, retry_at = excluded.retry_at, error = excluded.error,
                failed_at = clock_timestamp()
            """,
            [
                {
                    "workspace": subscription.workspace_id,
                    "subscription": subscription.id,
                    "row": row.place.id,
                    "key": Jsonb([str(part) for part in row.key]),
                    "attempts": attempts,
                    "retry_at": retry_at,
                    "error": error[:_LONGEST_ERROR],
                }
                for row, error, attempts, retry_at in refused
            ],
        )


async def settle(conn: AsyncConnection[Any], subscription: Subscription, ids: Sequence[UUID]) -> None:
    """Forget what was not taken before: it was delivered now, or is no longer there."""
    await conn.execute(
        "DELETE FROM undelivered_records WHERE subscription_id = %s AND row_id = ANY(%s)",
        (subscription.id, list(ids)),
    )


async def replay(conn: AsyncConnection[Any], subscription: Subscription, ids: Sequence[UUID] = ()) -> int:
    """Have what was not taken sent again at once, all of it or these records; how many that is."""
    done = await conn.execute(
        """
        UPDATE undelivered_records SET retry_at = now(), attempts = 0
        WHERE subscription_id = %(subscription)s AND (%(all)s OR row_id = ANY(%(ids)s))
        """,
        {"subscription": subscription.id, "all": not ids, "ids": list(ids)},
    )
    return done.rowcount
