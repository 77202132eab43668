"""What routes have pushed and what waits: links between records, the outbox, and how far each route is.

An intent is committed to the outbox as ``sending`` before anything is sent. What was applied becomes a link, or a
newer version of one, in the transaction that takes the intent out. So a run may be killed anywhere: the next one finds
what it was about to send, and under which key.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec
import xxhash
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Json, Jsonb

from unified.store.errors import StoreError
from unified.store.positions import Position
from unified.store.routes.routes import Route

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")
State = Literal["sending", "due", "refused", "review", "skipped"]
Operation = Literal["create", "update", "delete"]
Decision = Literal["link", "create"]


class DecisionError(StoreError):
    """What a person decided can't be done."""


def other(side: Side) -> Side:
    """The side across."""
    return "target" if side == "source" else "source"


def content_hash(values: Mapping[str, Any]) -> int:
    """Hash of some fields' values, as PostgreSQL's signed bigint."""
    encoded = msgspec.json.encode(values, order="deterministic")
    return xxhash.xxh3_64_intdigest(encoded) - (1 << 63)


@dataclass(slots=True)
class LinkEnd:
    """One of a link's two records.

    Attributes:
        id: Its source id.
        base: The routed fields as they were when both sides last agreed, by the rule's name.
    """

    id: str
    base: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Link:
    """Two records that a route keeps alike.

    Attributes:
        source: The source's record.
        target: The target's record.
        rule: Why the two are one.
        reason: Why nothing is pushed any more; None while they are linked.
        version: Pushes applied so far.
    """

    source: LinkEnd
    target: LinkEnd
    rule: str
    reason: str | None = None
    version: int = 0

    def end(self, side: Side) -> LinkEnd:
        """The record on a side."""
        return self.source if side == "source" else self.target


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


@dataclass(frozen=True, slots=True)
class RouteCursor:
    """How far a side's changes are dealt with.

    Attributes:
        position: The last change.
        as_of: When nothing could come before it any more.
        scanned_to: While all records are looked at: the last one; None once that is done.
    """

    position: Position
    as_of: datetime
    scanned_to: str | None = None


_Conn = AsyncConnection[Any]

_ENTRIES = """
    SELECT side, record_id, state, operation, other_id, idempotency_key, body, agreed, candidates, decision, attempts,
        reason, sent_at
    FROM route_outbox WHERE route_id = %(route)s
"""


async def load_cursor(conn: _Conn, route: Route, side: Side) -> RouteCursor | None:
    """A side's cursor; None if this version of the route has none yet."""
    result = await conn.execute(
        """
        SELECT xid::text, id, as_of, scanned_to FROM route_cursors
        WHERE route_id = %s AND side = %s AND route_version = %s
        """,
        (route.id, side, route.version),
    )
    row = await result.fetchone()
    return RouteCursor(Position(row[0], row[1]), row[2], row[3]) if row else None


async def move_cursor(conn: _Conn, route: Route, side: Side, cursor: RouteCursor) -> None:
    """Store how far a side's changes are dealt with."""
    await conn.execute(
        """
        INSERT INTO route_cursors (workspace_id, route_id, side, route_version, xid, id, as_of, scanned_to)
        VALUES (%s, %s, %s, %s, %s::text::xid8, %s, %s, %s)
        ON CONFLICT (workspace_id, route_id, side) DO UPDATE SET
            route_version = excluded.route_version, xid = excluded.xid, id = excluded.id, as_of = excluded.as_of,
            scanned_to = excluded.scanned_to
        """,
        (
            route.workspace_id,
            route.id,
            side,
            route.version,
            *cursor.position,
            cursor.as_of,
            cursor.scanned_to,
        ),
    )


# Links


async def links(conn: _Conn, route: Route, side: Side, ids: Sequence[str]) -> dict[str, Link]:
    """Links of some records of a side, by their ids; gone ones too."""
    result = await conn.execute(
        f"""
        SELECT source_id, source_base, target_id, target_base, rule, reason, version
        FROM pushed_records WHERE route_id = %s AND {side}_id = ANY(%s)
        """.encode(),  # noqa: S608 - one of two words
        (route.id, list(ids)),
    )
    found = {}
    for source_id, source_base, target_id, target_base, *rest in await result.fetchall():
        link = Link(LinkEnd(source_id, source_base), LinkEnd(target_id, target_base), *rest)
        found[link.end(side).id] = link
    return found


async def save_links(conn: _Conn, route: Route, changed: Iterable[Link]) -> list[Link]:
    """Store new links, and newer versions of known ones.

    What waits in the outbox for one of a new link's records is taken out: it has its counterpart. What a person skipped
    stays.

    Args:
        conn: A transaction of the workspace.
        route: Whose.
        changed: The links. One that is to take the place of another is stored once that was forgotten.

    Returns:
        Those that are not stored, as one of their two records is linked with another one.
    """
    wanted = list(changed)
    if not wanted:
        return []
    # One at a time: two transactions that link the same records from both ends would wait for each other.
    await conn.execute("SELECT FROM routes WHERE id = %s FOR NO KEY UPDATE", (route.id,))
    rivals = []
    async with conn.cursor() as cursor:
        await cursor.executemany(
            _SAVE_LINK,
            [
                {
                    "workspace": route.workspace_id,
                    "route": route.id,
                    "source_connection": route.source_connection_id,
                    "source": link.source.id,
                    "target_connection": route.target_connection_id,
                    "target": link.target.id,
                    "state": "unlinked" if link.reason else "linked",
                    "rule": link.rule,
                    "reason": link.reason,
                    "version": link.version,
                    "hash": content_hash(link.target.base),
                    "source_base": Jsonb(link.source.base),
                    "target_base": Jsonb(link.target.base),
                }
                for link in wanted
            ],
            returning=True,
        )
        for link in wanted:
            row = await cursor.fetchone()
            if row is None or not row[0]:
                rivals.append(link)
            cursor.nextset()
    return rivals


_SAVE_LINK = """
    WITH known AS (
        UPDATE pushed_records SET state = %(state)s, rule = %(rule)s, reason = %(reason)s, version = %(version)s,
            content_hash = %(hash)s, source_base = %(source_base)s, target_base = %(target_base)s, updated_at = now()
        WHERE (route_id, source_id, target_id) = (%(route)s, %(source)s, %(target)s)
        RETURNING 1
    ), made AS (
        INSERT INTO pushed_records (workspace_id, route_id, source_connection_id, source_id, target_connection_id,
            target_id, state, rule, reason, version, content_hash, source_base, target_base)
        SELECT %(workspace)s, %(route)s, %(source_connection)s, %(source)s, %(target_connection)s, %(target)s,
            %(state)s, %(rule)s, %(reason)s, %(version)s, %(hash)s, %(source_base)s, %(target_base)s
        WHERE NOT EXISTS (SELECT FROM known)
        ON CONFLICT DO NOTHING
        RETURNING 1
    ), found AS (
        DELETE FROM route_outbox
        WHERE EXISTS (SELECT FROM made) AND route_id = %(route)s AND state <> 'skipped'
            AND (side, record_id) IN (('source', %(source)s), ('target', %(target)s))
    )
    SELECT EXISTS (SELECT FROM known) OR EXISTS (SELECT FROM made)
"""


async def forget_links(conn: _Conn, route: Route, source_ids: Sequence[str]) -> None:
    """Delete links, so that their records are matched anew."""
    await conn.execute(
        "DELETE FROM pushed_records WHERE route_id = %s AND source_id = ANY(%s)", (route.id, list(source_ids))
    )


# Outbox


async def entries(conn: _Conn, route: Route, side: Side, ids: Sequence[str]) -> dict[str, Entry]:
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


# A link whose records the outbox does not speak of: it is linked, or waits for a person by itself.
_IS_STANDING = """
    (l.state = 'linked' OR NOT EXISTS (
        SELECT FROM route_outbox AS o
        WHERE o.route_id = l.route_id AND (o.side, o.record_id) IN (('source', l.source_id), ('target', l.target_id))
    ))
"""


async def counts(conn: _Conn, route: Route) -> dict[str, int]:
    """How many links a route has (``linked``, ``unlinked``), and how many entries of the outbox by state.

    They are the records that :func:`waiting` lists, besides those that are linked, ``sending`` and ``due``: one that
    lost its counterpart counts as what the outbox says of it.
    """
    result = await conn.execute(
        f"""
        SELECT state, count(*) FROM pushed_records AS l WHERE route_id = %(route)s AND {_IS_STANDING} GROUP BY state
        UNION ALL SELECT state, count(*) FROM route_outbox WHERE route_id = %(route)s GROUP BY state
        """.encode(),  # noqa: S608 - a constant
        {"route": route.id},
    )
    return dict(await result.fetchall())


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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that a person may decide about.

    Attributes:
        side: Where it is.
        record_id: Its id there.
        state: ``review`` and ``refused`` as in the outbox, ``skipped`` by a person, ``unlinked`` where a link lost one
            of its records.
        reason: Why it waits.
        candidates: Records on the other side that it may be the same as.
        since: Since when.
    """

    side: Side
    record_id: str
    state: str
    reason: str | None
    candidates: Sequence[Mapping[str, Any]]
    since: datetime


async def waiting(
    conn: _Conn, route: Route, *, after: tuple[str, str] = ("", ""), limit: int = 50
) -> list[Waiting]:
    """Records that a person may decide about, by side and id.

    Args:
        conn: A transaction of the workspace.
        route: Whose.
        after: Side and record of the last one read so far.
        limit: How many at most.
    """
    async with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(
            f"""
            SELECT side, record_id, state, reason, candidates, since FROM (
                SELECT side, record_id, state, reason, candidates, updated_at AS since FROM route_outbox
                WHERE route_id = %(route)s AND state IN ('review', 'refused', 'skipped')
                UNION ALL
                SELECT 'source', source_id, state, reason, '[]'::jsonb, updated_at FROM pushed_records AS l
                WHERE route_id = %(route)s AND state = 'unlinked' AND {_IS_STANDING}
            ) AS w
            WHERE (side, record_id) > (%(side)s, %(after)s) ORDER BY side, record_id LIMIT %(limit)s
            """.encode(),  # noqa: S608 - a constant
            {"route": route.id, "side": after[0], "after": after[1], "limit": limit},
        )
        return await cursor.fetchall()


async def decide(
    conn: _Conn,
    route: Route,
    side: Side,
    record_id: str,
    decision: Decision | Literal["skip"],
    other_id: str | None,
) -> None:
    """Store what a person decided about a record that waits, or one that lost its counterpart.

    Args:
        conn: A transaction of the workspace.
        route: Whose.
        side: Where the record is.
        record_id: Its id.
        decision: ``link`` it with ``other_id``, ``create`` another one, or ``skip`` it from now on.
        other_id: The record on the other side to link it with.

    Raises:
        DecisionError: If nothing waits for a decision about this record, or the other one is linked already.
    """
    entry = (await entries(conn, route, side, [record_id])).get(record_id)
    link = (await links(conn, route, side, [record_id])).get(record_id)
    if entry is not None and entry.state == "sending":
        raise DecisionError(f"{record_id} is being sent at the moment; decide when the run has ended")
    if link is not None and not link.reason:
        raise DecisionError(
            f"{record_id} is linked with {link.end(other(side)).id}; there is nothing to decide"
        )
    if entry is None and link is None:
        raise DecisionError(f"nothing of {route.key} waits for a decision about {record_id!r}")
    if decision == "link" and other_id is not None:
        taken = (await links(conn, route, other(side), [other_id])).get(other_id)
        if taken is not None and taken is not link and taken.end(side).id != record_id:
            raise DecisionError(f"{other_id} is linked with {taken.end(side).id} already")
        theirs = (await entries(conn, route, other(side), [other_id])).get(other_id)
        if theirs is not None and theirs.state == "sending":
            raise DecisionError(f"{other_id} is being sent at the moment; decide when the run has ended")
        await take_out(conn, route, [(other(side), other_id)])
    if link is not None and decision != "skip":
        await forget_links(conn, route, [link.source.id])
    # That a record is skipped does not say the outcome of its last push.
    sent = entry if entry is not None and entry.is_lost and decision == "skip" else None
    # Makes the key of what is sent next unlike that of anything sent before.
    attempts = max(entry.attempts if entry else 0, link.version + 1 if link else 0)
    await put(
        conn,
        route,
        [
            Entry(
                side=side,
                record_id=record_id,
                state="skipped" if decision == "skip" else "due",
                decision=None if decision == "skip" else decision,
                other_id=other_id if decision == "link" else None,
                candidates=entry.candidates if entry else (),
                attempts=attempts,
                operation=sent.operation if sent else None,
                agreed=sent.agreed if sent else None,
            )
        ],
    )
