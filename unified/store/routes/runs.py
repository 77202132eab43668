"""When a route has something to do, and how its runs go."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from unified.store.database import Database
from unified.store.records.changes import KEPT
from unified.store.routes.rows import SUMMARIES, WAITS_UNTIL, Route, RouteNotFoundError, RouteSummary
from unified.store.rows import fetch

LONGEST_ABSENCE = KEPT - timedelta(days=1)
"""A route that was away for longer looks at all records again: the log may be forgotten while it is read."""


async def begin(db: Database, route: Route) -> None:
    """Note that a run begins now."""
    async with db.workspace(route.workspace_id) as conn:
        done = await conn.execute(
            """
            UPDATE routes
            SET status = 'running', started_at = now(), requested_at = NULL, error_message = NULL, counts = '{}'
            WHERE id = %s
            """,
            (route.id,),
        )
        if not done.rowcount:
            raise RouteNotFoundError(route.key)


async def finish(db: Database, route: Route, counts: Mapping[str, int], error: str | None = None) -> None:
    """Note that a run ended, what it did, and why it ended early."""
    async with db.workspace(route.workspace_id) as conn:
        await conn.execute(
            """
            UPDATE routes SET status = %s, finished_at = now(), counts = %s, error_message = %s WHERE id = %s
            """,
            ("error" if error else "success", Jsonb(dict(counts)), error, route.id),
        )


async def due(db: Database, now: datetime) -> list[RouteSummary]:
    """Routes that have something to do now, those that waited longest first.

    That is one that somebody asked for, paused or not. Of those that are active and need not wait for a provider, it is
    one whose interval has passed; or, without an interval, one with changes that it has not dealt with, as soon as no
    sync of their connection is under way: a first load is pushed once, not batch by batch.
    """
    condition = f"""
        WHERE r.requested_at IS NOT NULL OR r.is_active AND {WAITS_UNTIL} IS NULL AND (
            CASE WHEN r.interval_minutes IS NOT NULL
            THEN coalesce(r.started_at + 0.9 * make_interval(mins => r.interval_minutes) <= %(now)s, true)
            ELSE EXISTS (
                SELECT FROM route_outbox AS o
                WHERE (o.workspace_id, o.route_id) = (r.workspace_id, r.id) AND o.state IN ('due', 'sending')
                OFFSET 0  -- asked route by route: else the planner may read the outbox of all of them first
            ) OR EXISTS (
                SELECT FROM connector_configs AS c
                LEFT JOIN route_cursors AS k ON (k.workspace_id, k.route_id) = (r.workspace_id, r.id)
                    AND k.side = CASE WHEN c.id = r.source_connection_id THEN 'source' ELSE 'target' END
                WHERE c.workspace_id = r.workspace_id
                    AND (c.id = r.source_connection_id
                         OR (c.id = r.target_connection_id AND r.direction = 'two_way'))
                    AND (c.sync_status <> 'syncing' OR c.sync_started_at < %(now)s - interval '1 hour')
                    AND c.last_sync_at IS NOT NULL
                    AND (k.xid IS NULL OR k.scanned_to IS NOT NULL OR k.route_version <> r.version OR EXISTS (
                        SELECT FROM customer_changes AS l
                        WHERE (l.workspace_id, l.connection_id) = (c.workspace_id, c.id)
                            AND l.stream = CASE WHEN c.id = r.source_connection_id
                                THEN r.source_stream ELSE r.target_stream END
                            AND (l.xid, l.id) > (k.xid, k.id) AND l.xid < pg_snapshot_xmin(pg_current_snapshot())
                    ))
            ) END
        )
        ORDER BY r.started_at NULLS FIRST, w.slug, r.name
    """  # noqa: S608 - a condition
    async with db.scheduler() as conn:
        return await fetch(conn, RouteSummary, SUMMARIES + condition, now=now)
