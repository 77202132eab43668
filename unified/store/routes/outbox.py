"""The outbox: pushes that are on their way, and records that wait.

An intent is committed as ``sending`` before anything is sent. What was applied becomes a link, or a newer version of
one, in the transaction that takes the intent out. So a run may be killed anywhere: the next one finds what it was
about to send, and under which key. What a person is asked is :mod:`unified.store.routes.review`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Json, Jsonb

from unified.store.routes.links import content_hash
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other

State = Literal["sending", "due", "refused", "review", "skipped"]
Operation = Literal["create", "update", "delete"]
Decision = Literal["link", "create"]


@dataclass(slots=True, kw_only=True)
class Entry:
    """A row of the outbox: a push on its way, or a record that waits.

    Attributes:
        side: Where the record is that changed; it is written to the other side.
        record_id: Its source id there.
        state: ``sending``; ``due`` at the next run; ``refused`` until it changes or somebody asks; waiting for a
            person's ``review``; ``skipped`` by a person.
        operation: What is sent.
        other_id: The record to change on the other side, or the one that a person chose; of a record in review, the
            one whose push may have created it.
        idempotency_key: Under which it is sent.
        body: What is sent.
        agreed: What both sides will have agreed on once it is applied, by side and rule.
        candidates: Records that it may be the same as, for review.
        decision: What a person chose.
        attempts: How often it was refused; makes the key of the next attempt new.
        reason: Why it waits.
        sent_at: When it was sent, for as long as its outcome is not known; None for one that is new.
    """

    side: Side
    record_id: str
    state: State
    operation: Operation | None = None
    other_id: str | None = None
    idempotency_key: str | None = None
    body: Mapping[str, Any] | None = None
    agreed: Mapping[Side, Mapping[str, Any]] | None = None
    candidates: Sequence[Mapping[str, Any]] = ()
    decision: Decision | None = None
    attempts: int = 0
    reason: str | None = None
    sent_at: datetime | None = None

    @property
    def is_lost(self) -> bool:
        """Whether it was sent, and it is not known whether it was applied."""
        return self.sent_at is not None


_Conn = AsyncConnection[Any]

_ENTRIES = """
    SELECT side, record_id, state, operation, other_id, idempotency_key, body, agreed, candidates, decision, attempts,
        reason, sent_at
    FROM route_outbox WHERE route_id = %(route)s
"""


async def read(conn: _Conn, route: Route, side: Side, ids: Sequence[str]) -> dict[str, Entry]:
    """What the outbox has of some records of a side, by their ids."""
    found = await _fetch(
        conn, _ENTRIES + " AND side = %(side)s AND record_id = ANY(%(ids)s)", route, side=side, ids=list(ids)
    )
    return {entry.record_id: entry for entry in found}


async def in_state(
    conn: _Conn, route: Route, state: State, *, after: tuple[str, str] = ("", ""), limit: int = 1000
) -> list[Entry]:
    """The outbox's entries in a state, by side and record.

    Args:
        conn: A transaction of the workspace.
        route: Whose.
        state: Which.
        after: Side and record of the last one read so far.
        limit: How many at most.
    """
    return await _fetch(
        conn,
        _ENTRIES + " AND state = %(state)s AND (side, record_id) > (%(side)s, %(after)s)"
        " ORDER BY side, record_id LIMIT %(limit)s",
        route,
        state=state,
        side=after[0],
        after=after[1],
        limit=limit,
    )


async def _fetch(conn: _Conn, query: str, route: Route, **values: Any) -> list[Entry]:
    async with conn.cursor(row_factory=class_row(Entry)) as cursor:
        await cursor.execute(query.encode(), {"route": route.id, **values})
        return await cursor.fetchall()


async def put(conn: _Conn, route: Route, changed: Iterable[Entry]) -> None:
    """Store entries, in place of what the outbox has of the same records.

    One to be sent is noted as sent now. One that keeps its operation in another state was sent when the outbox says.
    """
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO route_outbox AS o (workspace_id, route_id, side, record_id, state, operation, other_id,
                idempotency_key, body, body_hash, agreed, candidates, decision, attempts, reason, sent_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, CASE WHEN %s THEN now() END)
            ON CONFLICT (workspace_id, route_id, side, record_id) DO UPDATE SET
                state = excluded.state, operation = excluded.operation, other_id = excluded.other_id,
                idempotency_key = excluded.idempotency_key, body = excluded.body, body_hash = excluded.body_hash,
                agreed = excluded.agreed, candidates = excluded.candidates, decision = excluded.decision,
                attempts = excluded.attempts, reason = excluded.reason,
                sent_at = CASE WHEN excluded.state = 'sending' THEN excluded.sent_at
                    WHEN excluded.operation IS NOT NULL THEN o.sent_at END,
                updated_at = now()
            """,
            [
                (
                    route.workspace_id,
                    route.id,
                    entry.side,
                    entry.record_id,
                    entry.state,
                    entry.operation,
                    entry.other_id,
                    entry.idempotency_key,
                    None if entry.body is None else Json(dict(entry.body)),
                    None if entry.body is None else content_hash(entry.body),
                    None if entry.agreed is None else Jsonb(dict(entry.agreed)),
                    Jsonb(list(entry.candidates)),
                    entry.decision,
                    entry.attempts,
                    entry.reason,
                    entry.state == "sending",
                )
                for entry in changed
            ],
        )


async def lost(conn: _Conn, route: Route, side: Side, *, limit: int) -> list[Entry]:
    """Creations for records of a side that were sent, and of which nobody knows whether they were applied.

    Args:
        conn: A transaction of the workspace.
        route: Whose.
        side: Where the records are for which they were sent.
        limit: How many at most.
    """
    return await _fetch(
        conn,
        _ENTRIES + " AND side = %(side)s AND operation = 'create' AND sent_at IS NOT NULL"
        " ORDER BY sent_at, record_id LIMIT %(limit)s",
        route,
        side=side,
        limit=limit,
    )


async def promised(conn: _Conn, route: Route, side: Side, ids: Sequence[str]) -> dict[str, str]:
    """Which of some records of a side are to be linked by a decision that no run has acted on yet, and with which."""
    result = await conn.execute(
        """
        SELECT other_id, min(record_id) FROM route_outbox
        WHERE route_id = %s AND side = %s AND state = 'due' AND decision = 'link' AND other_id = ANY(%s)
        GROUP BY other_id
        """,
        (route.id, other(side), list(ids)),
    )
    return dict(await result.fetchall())


async def release(conn: _Conn, route: Route) -> None:
    """Have records looked at again that waited for a push whose outcome is known by now."""
    await conn.execute(
        """
        UPDATE route_outbox AS o SET state = 'due', other_id = NULL, candidates = '[]', updated_at = now()
        WHERE route_id = %s AND state = 'review' AND other_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM route_outbox AS p
            WHERE (p.route_id, p.record_id) = (o.route_id, o.other_id) AND p.side <> o.side
                AND p.operation = 'create' AND p.sent_at IS NOT NULL
        )
        """,
        (route.id,),
    )


async def suggest(conn: _Conn, route: Route, waiting: Iterable[Entry]) -> None:
    """Name records that wait for a lost push among the candidates of the record it was sent for."""
    async with conn.cursor() as cursor:
        await cursor.executemany(
            """
            UPDATE route_outbox SET candidates = candidates || %(candidate)s
            WHERE route_id = %(route)s AND side = %(side)s AND record_id = %(record)s AND state = 'review'
                AND NOT candidates @> %(candidate)s
            """,
            [
                {
                    "route": route.id,
                    "side": other(entry.side),
                    "record": entry.other_id,
                    "candidate": Jsonb([{"id": entry.record_id}]),
                }
                for entry in waiting
            ],
        )


async def take_out(conn: _Conn, route: Route, keys: Iterable[tuple[Side, str]]) -> None:
    """Delete entries by side and record: they are settled."""
    pairs = list(keys)
    await conn.execute(
        """
        DELETE FROM route_outbox AS o USING unnest(%s::text[], %s::text[]) AS k (side, record_id)
        WHERE o.route_id = %s AND (o.side, o.record_id) = (k.side, k.record_id)
        """,
        ([side for side, _ in pairs], [record for _, record in pairs], route.id),
    )


async def ask_again(conn: _Conn, route: Route, records: Sequence[tuple[Side, str]] = ()) -> int:
    """Have refused records tried again by the next run: some, or all. How many."""
    result = await conn.execute(
        """
        UPDATE route_outbox SET state = 'due', updated_at = now()
        WHERE route_id = %(route)s AND state = 'refused'
            AND (%(all)s OR (side, record_id) IN (SELECT * FROM unnest(%(sides)s::text[], %(ids)s::text[])))
        """,
        {
            "route": route.id,
            "all": not records,
            "sides": [side for side, _ in records],
            "ids": [record for _, record in records],
        },
    )
    return result.rowcount
