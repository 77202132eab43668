"""Dead letters: received events that could not be applied, kept with the reason, tried again and replayable.

One that may be applied later waits for its next attempt. Once it has failed for a day, or can never be applied, it is
dead until somebody replays it. None ever holds up the events behind it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox.events import StoredEvent, event_hash
from unified.store.inbox.progress import retry_after

GIVE_UP_AFTER = timedelta(hours=24)
"""How long an event is tried again, and how long events wait for a connection that can't be used."""

State = Literal["waiting", "dead", "replayed"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event could not be applied.

    Attributes:
        event: Which.
        error: The reason, without a secret or a value of the event.
        is_final: Whether trying again would be in vain.
    """

    event: StoredEvent
    error: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, for people.

    Attributes:
        id: What the event is recognised by; unique in its connection.
        connection_id: Whose it is.
        event_key: The provider's key of the event.
        event_type: In the provider's words.
        occurred_at: When it happened, where the provider said so.
        received_at: When it was delivered.
        state: ``waiting`` for its next attempt, ``dead``, or ``replayed``: applied in the end.
        attempts: How often it was tried.
        error: Why the last attempt failed.
        first_failed_at: When it failed first.
        next_attempt_at: When it is tried again, while it waits.
        updated_at: When any of this changed.
    """

    id: UUID
    connection_id: UUID
    event_key: str
    event_type: str
    occurred_at: datetime | None
    received_at: datetime
    state: State
    attempts: int
    error: str
    first_failed_at: datetime
    next_attempt_at: datetime | None
    updated_at: datetime


_LETTERS = """
    SELECT event_hash AS id, connection_id, event_key, event_type, occurred_at, received_at, state, attempts, error,
        first_failed_at, next_attempt_at, updated_at
    FROM webhook_dead_letters
"""


async def due(
    conn: AsyncConnection[Any], connection: ConnectionSummary, now: datetime, limit: int
) -> list[StoredEvent]:
    """A connection's letters whose next attempt has come, the longest waiting first.

    Args:
        conn: A transaction of the workspace.
        connection: Whose letters.
        now: The time.
        limit: How many at most.
    """
    async with conn.cursor(binary=True) as cursor:
        await cursor.execute(
            """
            SELECT received_at, attempts, first_failed_at, event_key, event_type, occurred_at, body
            FROM webhook_dead_letters
            WHERE connection_id = %s AND state = 'waiting' AND next_attempt_at <= %s
            ORDER BY next_attempt_at LIMIT %s
            """,
            (connection.id, now, limit),
        )
        return [
            StoredEvent(
                ReceivedEvent(*event), received_at, attempts=attempts, first_failed_at=first_failed_at
            )
            for received_at, attempts, first_failed_at, *event in await cursor.fetchall()
        ]


async def keep(
    conn: AsyncConnection[Any], connection: ConnectionSummary, failures: Sequence[Failure], now: datetime
) -> None:
    """Keep events that could not be applied, as part of the transaction that passes over them.

    Args:
        conn: A transaction of the workspace.
        connection: Whose events.
        failures: Which, and why.
        now: The time of the attempt.
    """
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO webhook_dead_letters AS d (workspace_id, connection_id, event_hash, event_key, event_type,
                occurred_at, received_at, body, state, attempts, error, first_failed_at, next_attempt_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %b, %s, %s, %s, %s, %s)
            ON CONFLICT (workspace_id, connection_id, event_hash) DO UPDATE SET
                state = excluded.state, attempts = excluded.attempts, error = excluded.error,
                first_failed_at = excluded.first_failed_at, next_attempt_at = excluded.next_attempt_at,
                updated_at = now()
            """,
            [_row(connection, failure, now) for failure in failures],
        )


def _row(connection: ConnectionSummary, failure: Failure, now: datetime) -> tuple[Any, ...]:
    event, received = failure.event.event, failure.event
    first_failed_at = received.first_failed_at or now
    attempts = received.attempts + 1
    is_dead = failure.is_final or now - first_failed_at >= GIVE_UP_AFTER
    return (
        connection.workspace_id,
        connection.id,
        event_hash(event.dedupe_key),
        event.dedupe_key,
        event.event_type,
        event.occurred_at,
        received.received_at,
        event.body,
        "dead" if is_dead else "waiting",
        attempts,
        failure.error,
        first_failed_at,
        None if is_dead else now + retry_after(attempts),
    )


async def solve(
    conn: AsyncConnection[Any], connection: ConnectionSummary, events: Collection[StoredEvent]
) -> None:
    """Note that events were applied, in the same transaction; for others it changes nothing."""
    # As a rule there is none, and then no event has to be looked up.
    open_letters = "SELECT FROM webhook_dead_letters WHERE connection_id = %s AND state <> 'replayed' LIMIT 1"
    if events and (await conn.execute(open_letters, (connection.id,))).rowcount:
        await conn.execute(
            """
            UPDATE webhook_dead_letters SET state = 'replayed', next_attempt_at = NULL, updated_at = now()
            WHERE connection_id = %s AND event_hash = ANY(%s) AND state <> 'replayed'
            """,
            (connection.id, [event_hash(stored.event.dedupe_key) for stored in events]),
        )


async def letters(
    db: Database, connection: ConnectionSummary, state: State | None = None, *, limit: int = 100
) -> list[DeadLetter]:
    """A connection's dead letters, those that changed last first.

    Args:
        db: Where.
        connection: Whose.
        state: Those in this state only.
        limit: How many at most.
    """
    async with (
        db.workspace(connection.workspace_id) as conn,
        conn.cursor(row_factory=class_row(DeadLetter)) as cursor,
    ):
        await cursor.execute(
            _LETTERS
            + """
            WHERE connection_id = %(connection)s AND (%(state)s::text IS NULL OR state = %(state)s)
            ORDER BY updated_at DESC, event_key LIMIT %(limit)s
            """,
            {"connection": connection.id, "state": state, "limit": limit},
        )
        return await cursor.fetchall()


async def page(
    conn: AsyncConnection[Any],
    *,
    connection_id: UUID | None = None,
    state: State | None = None,
    before: tuple[datetime, UUID, UUID] | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """A page of a workspace's dead letters, those received last first: an order that no attempt changes.

    Args:
        conn: A transaction of the workspace.
        connection_id: Those of this connection only.
        state: Those in this state only.
        before: ``received_at``, ``connection_id`` and ``id`` of the last one read so far.
        limit: How many at most.
    """
    received_at, former_connection, former_id = before or (None, None, None)
    async with conn.cursor(row_factory=class_row(DeadLetter)) as cursor:
        await cursor.execute(
            _LETTERS
            + """
            WHERE (%(connection)s::uuid IS NULL OR connection_id = %(connection)s)
                AND (%(state)s::text IS NULL OR state = %(state)s)
                AND (%(at)s::timestamptz IS NULL
                    OR (received_at, connection_id, event_hash) < (%(at)s, %(former)s::uuid, %(id)s::uuid))
            ORDER BY received_at DESC, connection_id DESC, event_hash DESC LIMIT %(limit)s
            """,
            {
                "connection": connection_id,
                "state": state,
                "at": received_at,
                "former": former_connection,
                "id": former_id,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def counts(db: Database, connection: ConnectionSummary) -> dict[State, int]:
    """How many letters a connection has in each state."""
    async with db.workspace(connection.workspace_id) as conn:
        result = await conn.execute(
            "SELECT state, count(*) FROM webhook_dead_letters WHERE connection_id = %s GROUP BY state",
            (connection.id,),
        )
        return dict(await result.fetchall())


async def counts_by_connection(conn: AsyncConnection[Any]) -> dict[UUID, dict[State, int]]:
    """The same of each connection that has any, in a transaction of its workspace, or of the scheduler's role."""
    result = await conn.execute(
        "SELECT connection_id, state, count(*) FROM webhook_dead_letters GROUP BY connection_id, state"
    )
    found: dict[UUID, dict[State, int]] = {}
    for connection_id, state, count in await result.fetchall():
        found.setdefault(connection_id, {})[state] = count
    return found


async def replay(
    db: Database,
    connection: ConnectionSummary,
    now: datetime,
    keys: Collection[str] | None = None,
    *,
    ids: Collection[UUID] = (),
) -> int:
    """Have dead letters tried again by the next drain, and for another day after that.

    Args:
        db: Where.
        connection: Whose letters.
        now: The time.
        keys: Keys of the events; None means all that are dead or waiting, unless ids are given.
        ids: Further ones, by :attr:`DeadLetter.id`.

    Returns:
        How many there were.
    """
    hashes = [*ids, *map(event_hash, keys or ())]
    async with db.workspace(connection.workspace_id) as conn:
        result = await conn.execute(
            """
            UPDATE webhook_dead_letters
            SET state = 'waiting', next_attempt_at = %(now)s, first_failed_at = %(now)s, attempts = 0,
                updated_at = now()
            WHERE connection_id = %(connection)s AND state <> 'replayed'
                AND (%(hashes)s::uuid[] IS NULL OR event_hash = ANY(%(hashes)s))
            """,
            {
                "connection": connection.id,
                "now": now,
                "hashes": None if keys is None and not ids else hashes,
            },
        )
        return result.rowcount
