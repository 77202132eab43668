"""Counts of a stream's records that are kept until one of its records changes, however large the table is.

Each record carries the transaction that changed it last, and there is an index on that: whether a count still holds is
one look behind the snapshot that it was made in. Syncs, drains, burials and deletions need not know of it. What is
counted, and how, is in :mod:`unified.store.records.counts.quality`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, AsyncCursor, sql

from unified.store.records.counts import quality
from unified.store.records.tables import StreamKey


@dataclass(frozen=True, slots=True)
class Kept:
    """A count that holds now.

    Attributes:
        found: The count.
        version: The same for as long as nothing that was counted changes, and new after that.
        is_new: Whether it was counted just now.
    """

    found: int
    version: str
    is_new: bool


_READ = """
    SELECT pg_current_snapshot()::text, r.rejects, k.found, k.rejects = r.rejects AND NOT ({changed})
    FROM (
        SELECT count(*) AS rejects FROM rejects
        WHERE connector_config_id = %(connection)s AND stream = ANY(%(streams)s)
    ) AS r
    LEFT JOIN kept_counts AS k
        ON k.connector_config_id = %(connection)s AND k.stream = %(stream)s AND k.what = %(what)s
"""
_CHANGED = """
    EXISTS (
        SELECT FROM {leaf} AS t
        WHERE t.workspace_id = k.workspace_id AND t.changed_xid >= pg_snapshot_xmin(k.as_of)
            AND t.connection_id = k.connector_config_id AND t.stream = {stream}
            AND NOT pg_visible_in_snapshot(t.changed_xid, k.as_of)
    )
"""
_CHANGED_SINCE = f"""
    SELECT {_CHANGED} FROM (
        SELECT %(workspace)s::uuid AS workspace_id, %(connection)s::uuid AS connector_config_id,
            %(as_of)s::pg_snapshot AS as_of
    ) AS k
"""  # noqa: S608 - constants
# One that holds is known to hold as of now: fewer records lie behind that.
_KEEP = """
    INSERT INTO kept_counts AS k (workspace_id, connector_config_id, stream, what, found, rejects, as_of)
    VALUES (%(workspace)s, %(connection)s, %(stream)s, %(what)s, %(found)s, %(rejects)s, %(as_of)s)
    ON CONFLICT (workspace_id, connector_config_id, stream, what) DO UPDATE SET
        found = excluded.found, rejects = excluded.rejects, as_of = excluded.as_of,
        since = CASE WHEN %(is_new)s THEN excluded.since ELSE k.since END
    RETURNING since::text
"""


async def live_records(conn: AsyncConnection[Any], key: StreamKey, *, anew: bool = False) -> Kept:
    """How many records are stored and not deleted at their source.

    Args:
        conn: A transaction of the workspace.
        key: Of which stream.
        anew: Count in any case. Rows that somebody removed from the table by hand leave no trace.
    """
    return await _counted(conn, key, "live", lambda: quality.live_records(conn, key), anew=anew)


async def live_now(conn: AsyncConnection[Any], key: StreamKey) -> int:
    """How many records :func:`live_records` would find, for a page that shows it: nothing is kept.

    Args:
        conn: A transaction of the workspace.
        key: Of which stream.
    """
    _, _, found, holds = await _look(conn, [key], "live")
    return int(found) if holds else await quality.live_records(conn, key)


async def unknown_customers(
    conn: AsyncConnection[Any], invoices: StreamKey, customers: StreamKey, limit: int, *, anew: bool = False
) -> list[str]:
    """See :func:`unified.store.records.counts.quality.unknown_customers`; what is kept is how many there were.

    Args:
        conn: A transaction of the workspace.
        invoices: The stream whose records name customers.
        customers: The stream that they are of.
        limit: How many ids at most, at least one.
        anew: Look in any case.
    """
    missing: list[str] | None = None

    async def look() -> int:
        nonlocal missing
        missing = await quality.unknown_customers(conn, invoices, customers, limit)
        return len(missing)

    kept = await _counted(conn, invoices, "unknown_customers", look, also=customers, anew=anew)
    if kept.found and missing is None:
        await look()
    return missing or []


async def snapshot(conn: AsyncConnection[Any]) -> str:
    """What is committed by now, as :func:`has_changed` takes it."""
    (now,) = await _row(await conn.execute("SELECT pg_current_snapshot()::text"))
    return str(now)


async def has_changed(conn: AsyncConnection[Any], key: StreamKey, as_of: str) -> bool:
    """Whether any record of a stream was stored or changed since a snapshot.

    Args:
        conn: A transaction of the workspace.
        key: Which stream.
        as_of: What :func:`snapshot` returned.
    """
    query = sql.SQL(_CHANGED_SINCE).format(leaf=key.leaf, stream=sql.Literal(key.stream))
    (changed,) = await _row(await conn.execute(query, key.parameters() | {"as_of": as_of}))
    return bool(changed)


async def _counted(
    conn: AsyncConnection[Any],
    key: StreamKey,
    what: str,
    count: Callable[[], Awaitable[int]],
    *,
    also: StreamKey | None = None,
    anew: bool,
) -> Kept:
    """The count that is kept, or a new one where a record of ``key`` or ``also`` has changed since."""
    as_of, rejects, found, holds = await _look(conn, [key, also] if also else [key], what)
    is_new = not holds
    if is_new or anew:
        # What is committed meanwhile is behind that snapshot, and makes the next one count again.
        now = await count()
        is_new, found = is_new or now != found, now
    values = {"what": what, "as_of": as_of, "rejects": rejects, "found": found, "is_new": is_new}
    (version,) = await _row(await conn.execute(_KEEP, key.parameters() | values))
    return Kept(found, version, is_new)


async def _look(conn: AsyncConnection[Any], keys: Sequence[StreamKey], what: str) -> Any:
    """The snapshot of now, the rejects, the count that is kept of the first stream, and whether it holds."""
    changed = sql.SQL(" OR ").join(
        sql.SQL(_CHANGED).format(leaf=one.leaf, stream=sql.Literal(one.stream)) for one in keys
    )
    values = keys[0].parameters() | {"what": what, "streams": [one.stream for one in keys]}
    return await _row(await conn.execute(sql.SQL(_READ).format(changed=changed), values))


async def _row(result: AsyncCursor[Any]) -> Any:
    row = await result.fetchone()
    assert row is not None  # noqa: S101 - each of the statements gives one row
    return row
