"""Records of a route that wait for a person: which they are, how many, and what is decided about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import class_row

from unified.store.errors import StoreError
from unified.store.routes import links, outbox
from unified.store.routes.outbox import Decision, Entry
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other


class DecisionError(StoreError):
    """What a person decided can't be done."""


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


# A link whose records the outbox does not speak of: it is linked, or waits for a person by itself.
_IS_STANDING = """
    (l.state = 'linked' OR NOT EXISTS (
        SELECT FROM route_outbox AS o
        WHERE o.route_id = l.route_id AND (o.side, o.record_id) IN (('source', l.source_id), ('target', l.target_id))
    ))
"""


async def counts(conn: AsyncConnection[Any], route: Route) -> dict[str, int]:
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


async def waiting(
    conn: AsyncConnection[Any], route: Route, *, after: tuple[str, str] = ("", ""), limit: int = 50
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
    conn: AsyncConnection[Any],
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
    entry = (await outbox.read(conn, route, side, [record_id])).get(record_id)
    link = (await links.read(conn, route, side, [record_id])).get(record_id)
    if entry is not None and entry.state == "sending":
        raise DecisionError(f"{record_id} is being sent at the moment; decide when the run has ended")
    if link is not None and not link.reason:
        raise DecisionError(
            f"{record_id} is linked with {link.end(other(side)).id}; there is nothing to decide"
        )
    if entry is None and link is None:
        raise DecisionError(f"nothing of {route.key} waits for a decision about {record_id!r}")
    if decision == "link" and other_id is not None:
        taken = (await links.read(conn, route, other(side), [other_id])).get(other_id)
        if taken is not None and taken is not link and taken.end(side).id != record_id:
            raise DecisionError(f"{other_id} is linked with {taken.end(side).id} already")
        theirs = (await outbox.read(conn, route, other(side), [other_id])).get(other_id)
        if theirs is not None and theirs.state == "sending":
            raise DecisionError(f"{other_id} is being sent at the moment; decide when the run has ended")
        await outbox.take_out(conn, route, [(other(side), other_id)])
    if link is not None and decision != "skip":
        await links.forget(conn, route, [link.source.id])
    # That a record is skipped does not say the outcome of its last push.
    sent = entry if entry is not None and entry.is_lost and decision == "skip" else None
    # Makes the key of what is sent next unlike that of anything sent before.
    attempts = max(entry.attempts if entry else 0, link.version + 1 if link else 0)
    await outbox.put(
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
