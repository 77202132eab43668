"""The inbox: events that providers delivered, kept until they are applied and for some days after.

The ingress appends to it, for all workspaces at once. A drain reads one connection's events in order and settles them
(:mod:`unified.store.inbox.progress`) in the transaction that stores what they brought: an event is applied once,
whatever crashes. What waits is :mod:`unified.store.inbox.backlog`'s, what can't be applied goes to
:mod:`unified.store.inbox.dead_letters`, how long all of it is kept is :mod:`unified.store.inbox.retention`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.positions import Position

if TYPE_CHECKING:
    from unified.kit.mapping.columns import Columns


@dataclass(frozen=True, slots=True)
class Received:
    """An event to append.

    Attributes:
        workspace_id: The tenant.
        connection_id: Whose event it is.
        event: What was delivered.
        traceparent: The trace of its delivery, where there is one.
    """

    workspace_id: UUID
    connection_id: UUID
    event: ReceivedEvent
    traceparent: str | None = None


class StoredEvent(NamedTuple):
    """An event that is to be applied.

    Attributes:
        event: What was delivered.
        received_at: When, by the database's clock.
        position: Its place in the inbox; None for a dead letter that is tried again.
        attempts: How often it was tried before.
        first_failed_at: When it could not be applied for the first time.
        traceparent: The trace of its delivery, where there is one.
        is_cut: Whether its body is stored as it came, by a process that did not know of the connection's columns yet.
    """

    event: ReceivedEvent
    received_at: datetime
    position: Position | None = None
    attempts: int = 0
    first_failed_at: datetime | None = None
    traceparent: str | None = None
    is_cut: bool = False

    def cut(self, columns: "Columns") -> "StoredEvent":
        """The event as a connection that leaves out or hashes columns may keep it."""
        body = columns.kept_event(self.event.body)
        if body == self.event.body:
            return self
        return self._replace(event=replace(self.event, body=body), is_cut=True)


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
    fresh = {(row.workspace_id, row.connection_id, event_hash(row.event.dedupe_key)): row for row in rows}
    keys = sorted(fresh)
    events = [fresh[key].event for key in keys]
    columns = {
        "workspaces": [key[0] for key in keys],
        "connections": [key[1] for key in keys],
        "hashes": [key[2] for key in keys],
        "keys": [event.dedupe_key for event in events],
        "types": [event.event_type for event in events],
        "times": [event.occurred_at for event in events],
        "bodies": [event.body for event in events],
        "traces": [fresh[key].traceparent for key in keys],
    }
    result = await conn.execute(
        """
        WITH delivered AS MATERIALIZED (
            SELECT * FROM unnest(%(workspaces)b::uuid[], %(connections)b::uuid[], %(hashes)b::uuid[],
                %(keys)b::text[], %(types)b::text[], %(times)b::timestamptz[], %(bodies)b::bytea[],
                %(traces)b::text[])
                AS d (workspace_id, connection_id, event_hash, event_key, event_type, occurred_at, body, traceparent)
        ), fresh AS (
            INSERT INTO webhook_seen (workspace_id, connection_id, event_hash)
            SELECT workspace_id, connection_id, event_hash FROM delivered
            ON CONFLICT DO NOTHING
            RETURNING workspace_id, connection_id, event_hash
        )
        INSERT INTO webhook_inbox
            (workspace_id, connection_id, event_key, event_type, occurred_at, body, traceparent)
        SELECT workspace_id, connection_id, event_key, event_type, occurred_at, body, traceparent
        FROM delivered JOIN fresh USING (workspace_id, connection_id, event_hash)
        """,
        columns,
    )
    return result.rowcount


async def is_known(conn: AsyncConnection[Any], connection: ConnectionSummary, key: str) -> bool:
    """Whether an event of this key was received, however long ago; in a transaction of the workspace."""
    result = await conn.execute(
        "SELECT FROM webhook_seen WHERE connection_id = %s AND event_hash = %s",
        (connection.id, event_hash(key)),
    )
    return result.rowcount == 1


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
            SELECT xid::text, id, received_at, traceparent, event_key, event_type, occurred_at, body FROM (
                SELECT *, sum(octet_length(body)) OVER (ORDER BY xid, id) - octet_length(body) AS size_before
                FROM (
                    SELECT xid, id, received_at, traceparent, event_key, event_type, occurred_at, body
                    FROM webhook_inbox
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
            StoredEvent(ReceivedEvent(*event), received_at, Position(xid, number), traceparent=trace)
            for xid, number, received_at, trace, *event in await cursor.fetchall()
        ]


async def latest(
    conn: AsyncConnection[Any], connection: ConnectionSummary, *, limit: int, most_bytes: int
) -> list[StoredEvent]:
    """A connection's newest events, the newest first, each once; of a replayed one, where it stands now.

    Args:
        conn: A transaction of the workspace.
        connection: Whose events.
        limit: How many rows to look at.
        most_bytes: Larger bodies are left out.
    """
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            """
            SELECT received_at, event_key, event_type, occurred_at, body FROM (
                SELECT * FROM webhook_inbox WHERE workspace_id = %s AND connection_id = %s
                ORDER BY xid DESC, id DESC LIMIT %s
            ) AS newest WHERE octet_length(body) <= %s ORDER BY xid DESC, id DESC
            """,
            (connection.workspace_id, connection.id, limit, most_bytes),
        )
        found = [StoredEvent(ReceivedEvent(*event), at) for at, *event in await cursor.fetchall()]
    seen: dict[str, StoredEvent] = {}
    for one in found:
        seen.setdefault(one.event.dedupe_key, one)
    return list(seen.values())


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


async def rewrite(
    conn: AsyncConnection[Any], connection: ConnectionSummary, events: Sequence[StoredEvent]
) -> None:
    """Replace the stored bodies of a connection's events by these."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "UPDATE webhook_inbox SET body = %s WHERE connection_id = %s AND id = %s",
            [(one.event.body, connection.id, one.position.id) for one in events if one.position],
        )


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
