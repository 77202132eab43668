"""Whose turn it is: which connections should be synced now, which of them are loaded, and when the next one is due."""

from collections.abc import Collection
from datetime import datetime

from unified.store.connections import waits
from unified.store.connections.rows import READS, SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.rows import fetch

_WAITS_UNTIL = waits.until("%(now)s")
_TURN = "c.sync_started_at + 0.9 * make_interval(mins => c.sync_interval_minutes)"
_SYNCED = """
    JOIN connectors AS k ON k.name = c.connector
    WHERE c.is_active AND c.approval = 'approved' AND NOT c.needs_reauth AND k.is_enabled
        AND cardinality(k.streams) > 0
        AND (%(connector)s::text IS NULL OR c.connector = %(connector)s)
"""
_DUE = f"""
    AND w.slug || '/' || c.name <> ALL (%(running)s) AND {_WAITS_UNTIL} IS NULL AND (
        c.sync_started_at IS NULL
        OR {_TURN} <= %(now)s
        OR EXISTS (
            SELECT FROM sync_history AS h
            WHERE (h.workspace_id, h.connector_config_id) = (c.workspace_id, c.id)
                AND h.finished_at IS NOT NULL AND NOT h.is_complete AND h.error_message IS NULL
                AND {READS}
                -- One that is older is due by its interval.
                AND h.started_at > %(now)s - make_interval(mins => c.sync_interval_minutes)
                AND NOT EXISTS (
                    SELECT FROM sync_history AS later
                    WHERE (later.workspace_id, later.connector_config_id, later.stream)
                        = (h.workspace_id, h.connector_config_id, h.stream)
                        AND later.started_at > h.started_at
                )
        )
    )
"""  # noqa: S608 - an expression from above
# A stream is loaded once it was read whole, a log once it was read to its end; and as long as that fails: what can't be
# read is not worth a run of its own again and again.
_LOADS = f"""
    EXISTS (
        SELECT FROM unnest(k.streams) AS h (stream)
        LEFT JOIN cursors AS l
            ON (l.workspace_id, l.connector_config_id, l.stream) = (c.workspace_id, c.id, h.stream)
        WHERE {READS} AND l.refreshed_at IS NULL AND (
            SELECT p.is_complete OR p.error_message IS NOT NULL FROM sync_history AS p
            WHERE (p.workspace_id, p.connector_config_id, p.stream) = (c.workspace_id, c.id, h.stream)
                AND p.finished_at IS NOT NULL
            ORDER BY p.started_at DESC LIMIT 1
        ) IS NOT TRUE
    )
"""  # noqa: S608 - a condition


async def due(
    db: Database,
    now: datetime,
    running: Collection[str] = (),
    *,
    connector: str | None = None,
    is_loaded: bool | None = None,
    limit: int | None = None,
) -> list[ConnectionSummary]:
    """Connections that should be synced now, the longest waiting first.

    Due is an active and approved connection of an enabled connector, nine tenths of whose interval have passed
    since its last sync began. The tenth is slack: a schedule ticks at fixed times and a sync begins seconds
    after its tick, so the next tick comes a little early, and the one after that too late.
    Due at once is one whose last pull of a stream that it reads stopped at its time limit. One whose provider asked to
    be left alone is not due before that is over. One that somebody wants synced now is in
    :mod:`unified.store.connections.sync_requests`.

    Args:
        db: Where.
        now: The time, with a time zone.
        running: Keys of connections with a run under way; they are left out. A connection that is
            ``syncing`` and not named here was left behind by a run that died, and is due like any other.
        connector: Those of this connector only.
        is_loaded: True takes those all of whose streams were read whole, False the others, None both.
        limit: How many at most.
    """
    condition = "" if is_loaded is None else f"AND {'NOT' if is_loaded else ''} {_LOADS}"
    async with db.scheduler() as conn:
        return await fetch(
            conn,
            ConnectionSummary,
            f"{SUMMARIES}{_SYNCED}{_DUE}{condition} "
            "ORDER BY c.sync_started_at NULLS FIRST, w.slug, c.name LIMIT %(limit)s",
            now=now,
            running=list(running),
            connector=connector,
            limit=limit,
        )


async def next_turn(db: Database, connector: str, after: datetime) -> datetime | None:
    """When the next connection of a connector is due that was not due yet; None where there is none.

    Args:
        db: Where.
        connector: Of which connector.
        after: A time, with a time zone.
    """
    turn = f"greatest({_TURN}, {_WAITS_UNTIL})"
    async with db.scheduler() as conn:
        result = await conn.execute(
            f"SELECT min({turn}) FROM connector_configs AS c {_SYNCED} AND {turn} > %(now)s".encode(),  # noqa: S608
            {"connector": connector, "now": after},
        )
        row = await result.fetchone()
    return row[0] if row else None
