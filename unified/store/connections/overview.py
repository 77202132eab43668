"""How a whole workspace stands, in a few rows, however many connections it has.

Each function works in a transaction of the workspace. Single connections are in :mod:`unified.store.connections.rows`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from unified.store.connections.rows import CONNECTIONS, SILENT_INTERVALS, Connection
from unified.store.rows import fetch

MOST_PULLS = 20_000
"""So many pulls are looked at for what hours did."""

_LATE = f"c.last_sync_at < now() - {SILENT_INTERVALS} * make_interval(mins => c.sync_interval_minutes)"
_IS_IN_TROUBLE = "c.approval <> 'approved' OR c.needs_reauth OR c.sync_status = 'error'"

_OVERVIEW = f"""
    SELECT s.*, d.*, r.*, u.*,
        (SELECT coalesce(sum(found), 0)::bigint FROM kept_counts WHERE what = 'live') AS records,
        (SELECT count(*) FROM rejects) AS rejects
    FROM (
        SELECT count(*) AS connections,
            count(*) FILTER (WHERE {_IS_IN_TROUBLE}) AS in_trouble,
            count(*) FILTER (WHERE NOT c.is_active) AS paused,
            count(*) FILTER (WHERE c.is_active AND c.last_sync_at IS NULL) AS never_synced,
            count(*) FILTER (WHERE c.is_active AND {_LATE}) AS late,
            count(*) FILTER (WHERE c.is_active AND NOT {_LATE}) AS fresh
        FROM connector_configs AS c
    ) AS s
    CROSS JOIN (
        SELECT count(*) FILTER (WHERE state <> 'replayed') AS dead_letters FROM webhook_dead_letters
    ) AS d
    CROSS JOIN (SELECT count(*) AS routes, count(*) FILTER (WHERE status = 'error') AS failing_routes FROM routes) AS r
    CROSS JOIN (
        SELECT count(*) AS subscriptions, count(*) FILTER (WHERE error IS NOT NULL) AS waiting_subscriptions
        FROM webhook_subscriptions
    ) AS u
"""  # noqa: S608 - conditions from above


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A workspace at a glance.

    Attributes:
        connections: How many there are.
        in_trouble: Those whose last sync failed, that need an authorization, or wait for approval.
        paused: Those that are not synced by schedule.
        never_synced: Of the others, those that no sync has ended well of.
        late: Those whose last good sync is longer ago than twice their interval.
        fresh: Those whose last good sync is not.
        records: Live records, as syncs have counted them last.
        rejects: Records that could not be mapped.
        dead_letters: Received events that could not be applied yet.
        routes: How many there are.
        failing_routes: Those whose last run ended early.
        subscriptions: How many there are.
        waiting_subscriptions: Those whose receiver did not take something last.
    """

    connections: int
    in_trouble: int
    paused: int
    never_synced: int
    late: int
    fresh: int
    records: int
    rejects: int
    dead_letters: int
    routes: int
    failing_routes: int
    subscriptions: int
    waiting_subscriptions: int


@dataclass(frozen=True, slots=True)
class Hour:
    """What the pulls of an hour did.

    Attributes:
        begins: Its beginning.
        succeeded: Pulls of a stream that ended well.
        failed: Those that ended in an error.
        changed: Records that were new, changed or deleted.
    """

    begins: datetime
    succeeded: int
    failed: int
    changed: int


async def overview(conn: AsyncConnection[Any]) -> Overview:
    """The workspace at a glance."""
    (found,) = await fetch(conn, Overview, _OVERVIEW)
    return found


async def in_trouble(conn: AsyncConnection[Any], limit: int) -> list[Connection]:
    """Connections that a person should look at, by name."""
    condition = f" WHERE {_IS_IN_TROUBLE} ORDER BY c.name LIMIT %(limit)s"
    return await fetch(conn, Connection, CONNECTIONS + condition, limit=limit)


async def hours(conn: AsyncConnection[Any], since: datetime) -> list[Hour]:
    """What pulls did, by the hour in which they began; an hour without any is left out.

    Where there were very many, those hours are left out which the newest :data:`MOST_PULLS` do not reach back to.

    Args:
        conn: A transaction of the workspace.
        since: Of pulls that began at this time or later.
    """
    found = await fetch(
        conn,
        Hour,
        """
        SELECT date_trunc('hour', started_at) AS begins,
            count(*) FILTER (WHERE error_message IS NULL) AS succeeded,
            count(*) FILTER (WHERE error_message IS NOT NULL) AS failed,
            sum(inserted + updated + deleted)::bigint AS changed
        FROM (
            SELECT started_at, error_message, inserted, updated, deleted FROM sync_history
            WHERE started_at >= %(since)s AND finished_at IS NOT NULL AND mode <> 'remap'
            ORDER BY started_at DESC LIMIT %(most)s
        ) AS pulls
        GROUP BY 1 ORDER BY 1
        """,
        since=since,
        most=MOST_PULLS,
    )
    is_cut = sum(hour.succeeded + hour.failed for hour in found) >= MOST_PULLS
    return found[1:] if is_cut and len(found) > 1 else found
