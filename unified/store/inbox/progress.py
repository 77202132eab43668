"""How far a connection's inbox is applied, and why it waits where the connection can't be used."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection, errors

from unified.store.connections import waits
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.errors import BusyError
from unified.store.positions import BEGINNING, Position


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection's events wait: it can't be used at present.

    Attributes:
        error: The reason, without a secret.
        attempts: How often it was tried.
        since: When it failed first.
        retry_at: When it will be tried again: not before the connection's own ``waits_until``.
    """

    error: str
    attempts: int
    since: datetime
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Inbox:
    """How far a connection's inbox is applied.

    Attributes:
        position: The last event that was.
        trouble: Set while the connection can't be used.
    """

    position: Position = BEGINNING
    trouble: Trouble | None = None


async def load(conn: AsyncConnection[Any], connection: ConnectionSummary) -> Inbox:
    """How far a connection's inbox is applied, in a transaction of its workspace."""
    result = await conn.execute(
        f"""
        SELECT k.xid::text, k.id, k.error, k.attempts, k.failing_since,
            greatest(k.next_attempt_at, {waits.until("now()")})
        FROM inbox_cursors AS k
        JOIN connector_configs AS c ON (c.workspace_id, c.id) = (k.workspace_id, k.connection_id)
        WHERE k.connection_id = %s
        """,  # noqa: S608 - an expression of the store's own
        (connection.id,),
    )
    row = await result.fetchone()
    return Inbox(Position(*row[:2]), trouble_of(*row[2:])) if row else Inbox()


async def settle(
    conn: AsyncConnection[Any],
    connection: ConnectionSummary,
    former: Position,
    position: Position,
    trouble: Trouble | None = None,
) -> None:
    """Move a connection's cursor, as part of the transaction that stores what the events up to there brought.

    Args:
        conn: A transaction of the workspace.
        connection: Whose cursor.
        former: Where it stood when the events were read.
        position: The last event that is applied, or set aside.
        trouble: Why the connection can't be used; None where it can.

    Raises:
        BusyError: If the cursor was moved meanwhile: these events are applied already.
        ConnectionNotFoundError: If the connection was removed.
    """
    try:
        result = await conn.execute(
            """
            INSERT INTO inbox_cursors AS k
                (workspace_id, connection_id, xid, id, error, attempts, failing_since, next_attempt_at)
            VALUES (%(workspace)s, %(connection)s, %(xid)s::text::xid8, %(id)s,
                %(error)s, %(attempts)s, %(since)s, %(retry_at)s)
            ON CONFLICT (workspace_id, connection_id) DO UPDATE SET
                xid = excluded.xid, id = excluded.id, error = excluded.error, attempts = excluded.attempts,
                failing_since = excluded.failing_since, next_attempt_at = excluded.next_attempt_at, updated_at = now()
            WHERE (k.xid, k.id) = (%(former_xid)s::text::xid8, %(former_id)s)
            """,
            {
                "workspace": connection.workspace_id,
                "connection": connection.id,
                "xid": position.xid,
                "id": position.id,
                "error": trouble.error if trouble else None,
                "attempts": trouble.attempts if trouble else 0,
                "since": trouble.since if trouble else None,
                "retry_at": trouble.retry_at if trouble else None,
                "former_xid": former.xid,
                "former_id": former.id,
            },
        )
    except errors.ForeignKeyViolation:
        raise ConnectionNotFoundError(connection.id) from None  # removed meanwhile
    if not result.rowcount:
        raise BusyError(
            f"another drain has moved the inbox of {connection.key}; nothing of this one is stored"
        )


# What can't be used or applied is tried again after a minute, then after twice as long each time.
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return min(_FIRST_RETRY * (1 << min(attempts - 1, 10)), _LAST_RETRY)


def trouble_of(error: str | None, attempts: int | None, since: Any, retry_at: Any) -> Trouble | None:
    """A trouble from the columns of ``inbox_cursors``; None where there is none."""
    return Trouble(error, attempts or 0, since, retry_at) if error is not None else None
