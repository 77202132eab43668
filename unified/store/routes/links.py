"""Links: two records, one of each side, that a route keeps alike, and the values on which both agreed.

A new link, or a newer version of one, is stored in the transaction that takes what was pushed out of the outbox
(:mod:`unified.store.routes.outbox`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import xxhash
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from unified.store.routes.rows import Route
from unified.store.routes.sides import Side


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


async def read(conn: AsyncConnection[Any], route: Route, side: Side, ids: Sequence[str]) -> dict[str, Link]:
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


async def save(conn: AsyncConnection[Any], route: Route, changed: Iterable[Link]) -> list[Link]:
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
                    "source_stream": route.source_stream,
                    "source": link.source.id,
                    "target_connection": route.target_connection_id,
                    "target_stream": route.target_stream,
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
        INSERT INTO pushed_records (workspace_id, route_id, source_connection_id, source_stream, source_id,
            target_connection_id, target_stream, target_id, state, rule, reason, version, content_hash, source_base,
            target_base)
        SELECT %(workspace)s, %(route)s, %(source_connection)s, %(source_stream)s, %(source)s, %(target_connection)s,
            %(target_stream)s, %(target)s, %(state)s, %(rule)s, %(reason)s, %(version)s, %(hash)s,
            %(source_base)s, %(target_base)s
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


async def forget(conn: AsyncConnection[Any], route: Route, source_ids: Sequence[str]) -> None:
    """Delete links, so that their records are matched anew."""
    await conn.execute(
        "DELETE FROM pushed_records WHERE route_id = %s AND source_id = ANY(%s)", (route.id, list(source_ids))
    )
