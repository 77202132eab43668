"""The inbox: events that providers delivered, kept until they are applied and for some days after.

The ingress appends to it, for all workspaces at once. A drain reads one connection's events in order and settles them
in the transaction that stores what they brought: an event is applied once, whatever crashes. What can't be applied
goes to :mod:`unified.store.inbox.dead_letters`, how long all of it is kept is :mod:`unified.store.inbox.retention`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors

from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.rows import SUMMARIES, ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import BusyError
from unified.store.positions import BEGINNING, Position
from unified.store.rows import fetch

# How far `waiting` counts: enough to see that there is much, little enough to look often.
MOST_COUNTED = 1_000

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Received:
    """An event to append.

    Attributes:
        workspace_id: The tenant.
        connection_id: Whose event it is.
        event: What was delivered.
    """

    workspace_id: UUID
    connection_id: UUID
    event: ReceivedEvent


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that is to be applied.

    Attributes:
        event: What was delivered.
        received_at: When, by the database's clock.
        position: Its place in the inbox; None for a dead letter that is tried again.
        attempts: How often it was tried before.
        first_failed_at: When it could not be applied for the first time.
    """

    event: ReceivedEvent
    received_at: datetime
    position: Position | None = None
    attempts: int = 0
    first_failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection's events wait: it can't be used at present.

    Attributes:
        error: The reason, without a secret.
        attempts: How often it was tried.
        since: When it failed first.
        retry_at: When it will be tried again.
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a connection has waiting; no event can be seen from here.

    Attributes:
        connection: Which connection.
        events: Events that can be applied, counted up to ``MOST_COUNTED``.
        oldest_at: When the first of them was received.
        letters: Dead letters whose time has come, counted likewise.
        trouble: Set while the connection can't be used; then all wait for ``retry_at``.
    """

    connection: ConnectionSummary
    events: int
    oldest_at: datetime | None
    letters: int
    trouble: Trouble | None

    def is_due(self, now: datetime) -> bool:
        """Whether a drain has something to do here."""
        return (self.events or self.letters) > 0 and (self.trouble is None or self.trouble.retry_at <= now)


def event_hash(dedupe_key: str) -> UUID:
    """What an event is recognised by: of one size, whatever a provider's keys are."""
    return UUID(bytes=blake2b(dedupe_key.encode(), digest_size=16).digest())


async def append(db: Database, rows: Sequence[Received]) -> int:
    """Store events of any connections in one statement and one commit, but for those that came before.

    Args:
        db: Where.
        rows: Any number. Once this returns, each of them is stored durably, now or earlier.

    Returns:
        How many were new.

    Raises:
        UnreachableError, BusyError: If the server fails. It may have stored all of them, or none.
        psycopg.DataError: If PostgreSQL can't hold one of them; none is stored.
    """
    async with db.ingress() as conn:
        return await append_within(conn, rows)


async def append_within(conn: AsyncConnection[Any], rows: Sequence[Received]) -> int:
    """Store events as :func:`append` does, by a connection of the caller's; how many were new."""
    # Each key once and in order, so that two writers of the same events can't lock each other out.
    fresh = {
        (row.workspace_id, row.connection_id, event_hash(row.event.dedupe_key)): row.event for row in rows
    }
    keys = sorted(fresh)
    events = [fresh[key] for key in keys]
    columns = {
        "workspaces": [key[0] for key in keys],
        "connections": [key[1] for key in keys],
        "hashes": [key[2] for key in keys],
        "keys": [event.dedupe_key for event in events],
        "types": [event.event_type for event in events],
        "times": [event.occurred_at for event in events],
        "bodies": [event.body for event in events],
    }
    result = await conn.execute(
        """
        WITH delivered AS MATERIALIZED (
            SELECT * FROM unnest(%(workspaces)b::uuid[], %(connections)b::uuid[], %(hashes)b::uuid[],
                %(keys)b::text[], %(types)b::text[], %(times)b::timestamptz[], %(bodies)b::bytea[])
                AS d (workspace_id, connection_id, event_hash, event_key, event_type, occurred_at, body)
        ), fresh AS (
            INSERT INTO webhook_seen (workspace_id, connection_id, event_hash)
            SELECT workspace_id, connection_id, event_hash FROM delivered
            ON CONFLICT DO NOTHING
            RETURNING workspace_id, connection_id, event_hash
        )
        INSERT INTO webhook_inbox
            (workspace_id, connection_id, event_key, event_type, occurred_at, body)
        SELECT workspace_id, connection_id, event_key, event_type, occurred_at, body
        FROM delivered JOIN fresh USING (workspace_id, connection_id, event_hash)
        """,
        columns,
    )
    return result.rowcount


async def waiting(
    db: Database, connector: str, now: datetime, *, received_since: datetime = _EVER
) -> list[Waiting]:
    """What waits for a drain, connection by connection: counts and ages, as the scheduler's role may see.

    Args:
        db: Where.
        connector: Of whose connections.
        now: Dead letters are counted that are due by then.
        received_since: Look at events received since then only. A time of today spares most partitions, which is
            for who looks several times a second.

    Returns:
        Connections that have something waiting, those in trouble too, the oldest event first.
    """
    async with db.scheduler() as conn:
        return await _waiting(conn, now, received_since, connector)


async def waiting_in(conn: AsyncConnection[Any], now: datetime) -> list[Waiting]:
    """What waits in one workspace, in a transaction of its own; see :func:`waiting`."""
    return await _waiting(conn, now, _EVER, None)


async def _waiting(
    conn: AsyncConnection[Any], now: datetime, received_since: datetime, connector: str | None
) -> list[Waiting]:
    result = await conn.execute(
        """
        SELECT c.id, i.events, i.oldest_at, l.letters, k.error, k.attempts, k.failing_since, k.next_attempt_at
        FROM connector_configs AS c
        LEFT JOIN inbox_cursors AS k ON (k.workspace_id, k.connection_id) = (c.workspace_id, c.id)
        CROSS JOIN LATERAL (
            SELECT count(*) AS events, min(received_at) AS oldest_at FROM (
                SELECT received_at FROM webhook_inbox AS i
                WHERE (i.workspace_id, i.connection_id) = (c.workspace_id, c.id)
                    AND (i.xid, i.id) > (coalesce(k.xid, '0'), coalesce(k.id, 0))
                    AND i.xid < pg_snapshot_xmin(pg_current_snapshot())
                    AND i.received_at >= %(since)s
                ORDER BY i.xid, i.id LIMIT %(most)s
            ) AS first
        ) AS i
        CROSS JOIN LATERAL (
            SELECT count(*) AS letters FROM (
                SELECT FROM webhook_dead_letters AS d
                WHERE (d.workspace_id, d.connection_id) = (c.workspace_id, c.id)
                    AND d.state = 'waiting' AND d.next_attempt_at <= %(now)s
                LIMIT %(most)s
            ) AS due
        ) AS l
        WHERE (%(connector)s::text IS NULL OR c.connector = %(connector)s) AND (i.events > 0 OR l.letters > 0)
        ORDER BY i.oldest_at NULLS LAST
        """,
        {"connector": connector, "now": now, "since": received_since, "most": MOST_COUNTED},
    )
    found = await result.fetchall()
    if not found:
        return []
    summaries = await fetch(
        conn, ConnectionSummary, SUMMARIES + " WHERE c.id = ANY(%(ids)s)", ids=[row[0] for row in found]
    )
    known = {summary.id: summary for summary in summaries}
    return [
        Waiting(known[connection_id], events, oldest_at, letters, _trouble(*rest))
        for connection_id, events, oldest_at, letters, *rest in found
        if connection_id in known
    ]


async def load(conn: AsyncConnection[Any], connection: ConnectionSummary) -> Inbox:
    """How far a connection's inbox is applied, in a transaction of its workspace."""
    result = await conn.execute(
        """
        SELECT xid::text, id, error, attempts, failing_since, next_attempt_at FROM inbox_cursors
        WHERE connection_id = %s
        """,
        (connection.id,),
    )
    row = await result.fetchone()
    return Inbox(Position(*row[:2]), _trouble(*row[2:])) if row else Inbox()


async def read(
    conn: AsyncConnection[Any],
    connection: ConnectionSummary,
    after: Position,
    *,
    limit: int,
    most_bytes: int,
) -> list[StoredEvent]:
    """A connection's next events, none of which another one can come before any more.

    Args:
        conn: A transaction of the workspace.
        connection: Whose events.
        after: The last event applied.
        limit: How many at most.
        most_bytes: Stop once their bodies reach this size; one event comes always.

    Returns:
        Events in the inbox's order. Those of transactions begun after the oldest open one wait for its end.
    """
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            """
            SELECT xid::text, id, received_at, event_key, event_type, occurred_at, body FROM (
                SELECT *, sum(octet_length(body)) OVER (ORDER BY xid, id) - octet_length(body) AS size_before
                FROM (
                    SELECT xid, id, received_at, event_key, event_type, occurred_at, body FROM webhook_inbox
                    WHERE workspace_id = %(workspace)s AND connection_id = %(connection)s
                        AND (xid, id) > (%(xid)s::text::xid8, %(id)s::bigint)
                        AND xid < pg_snapshot_xmin(pg_current_snapshot())
                    ORDER BY xid, id LIMIT %(limit)s
                ) AS next
            ) AS measured
            WHERE size_before < %(bytes)s ORDER BY measured.xid, id
            """,
            {
                "workspace": connection.workspace_id,
                "connection": connection.id,
                "xid": after.xid,
                "id": after.id,
                "limit": limit,
                "bytes": most_bytes,
            },
        )
        return [
            StoredEvent(ReceivedEvent(*event), received_at, Position(xid, number))
            for xid, number, received_at, *event in await cursor.fetchall()
        ]


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


async def replay(db: Database, connection: ConnectionSummary, since: datetime, until: datetime) -> int:
    """Have events applied again that were received in a span of time and are still kept.

    They are appended once more, so nothing is lost if that is interrupted, and done twice it changes nothing.

    Args:
        db: Where.
        connection: Whose events.
        since: From when, with a time zone.
        until: Up to, not including, when.

    Returns:
        How many.
    """
    async with db.workspace(connection.workspace_id) as conn:
        result = await conn.execute(
            """
            INSERT INTO webhook_inbox
                (workspace_id, connection_id, received_at, event_key, event_type, occurred_at, body)
            SELECT DISTINCT ON (event_key)
                workspace_id, connection_id, received_at, event_key, event_type, occurred_at, body
            FROM webhook_inbox
            WHERE connection_id = %s AND received_at >= %s AND received_at < %s
            ORDER BY event_key, xid, id
            """,
            (connection.id, since, until),
        )
        return result.rowcount


async def remove(
    conn: AsyncConnection[Any], connection: ConnectionSummary, events: Sequence[StoredEvent]
) -> None:
    """Delete events of a connection, the copies that dead letters keep too; each is known by its key from then on."""
    ids = [one.position.id for one in events if one.position]
    await conn.execute(
        "DELETE FROM webhook_inbox WHERE connection_id = %s AND id = ANY(%s)", (connection.id, ids)
    )
    await conn.execute(
        "DELETE FROM webhook_dead_letters WHERE connection_id = %s AND event_hash = ANY(%s)",
        (connection.id, [event_hash(one.event.dedupe_key) for one in events]),
    )


async def forget(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """Delete what a connection received, as it is removed; the rest of what it has goes with its row."""
    for table in ("webhook_inbox", "webhook_seen"):
        await conn.execute(
            f"DELETE FROM {table} WHERE connection_id = %s",  # noqa: S608 - names from above
            (connection_id,),
        )


# What can't be used or applied is tried again after a minute, then after twice as long each time.
_FIRST_RETRY, _LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return min(_FIRST_RETRY * (1 << min(attempts - 1, 10)), _LAST_RETRY)


def _trouble(error: str | None, attempts: int | None, since: Any, retry_at: Any) -> Trouble | None:
    return Trouble(error, attempts or 0, since, retry_at) if error is not None else None
