"""How a workspace's syncs go and what they brought, added up by connector.

Each function works in a transaction of the workspace. Single syncs are in
:mod:`unified.store.records.history`, what waits in the inbox in :mod:`unified.store.inbox.events`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """All connections of one connector, or one of them.

    Attributes:
        connector: Its name.
        connections: How many connections.
        active: Those that are synced by schedule.
        failing: Those whose last sync failed.
        succeeded: Pulls of a stream that ended well in the span of time asked for.
        failed: Those that ended in an error.
        last_error: The error of the last of them.
        last_error_at: When that was.
        last_sync_at: When a sync succeeded last, however long ago.
        rejects: Records set aside at present because they can't be mapped.
        rows: Live records stored at present, by stream.
    """

    connector: str
    connections: int
    active: int
    failing: int
    succeeded: int
    failed: int
    last_error: str | None
    last_error_at: datetime | None
    last_sync_at: datetime | None
    rejects: int
    rows: dict[str, int]


# Each group is one connector. A remap asks no provider, so it counts neither as success nor as failure.
_STATISTICS = """
    SELECT c.connector,
        count(*) AS connections,
        count(*) FILTER (WHERE c.is_active) AS active,
        count(*) FILTER (WHERE c.sync_status = 'error') AS failing,
        sum(h.succeeded)::bigint AS succeeded,
        sum(h.failed)::bigint AS failed,
        (array_agg(h.last_error ORDER BY h.last_error_at DESC NULLS LAST))[1] AS last_error,
        max(h.last_error_at) AS last_error_at,
        max(c.last_sync_at) AS last_sync_at,
        sum(r.rejects)::bigint AS rejects,
        jsonb_build_object('customers', sum(customers.live), 'invoices', sum(invoices.live), 'events', sum(events.live))
            AS rows
    FROM connector_configs AS c
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE error_message IS NULL) AS succeeded,
            count(*) FILTER (WHERE error_message IS NOT NULL) AS failed,
            max(finished_at) FILTER (WHERE error_message IS NOT NULL) AS last_error_at,
            (array_agg(error_message ORDER BY finished_at DESC) FILTER (WHERE error_message IS NOT NULL))[1]
                AS last_error
        FROM sync_history AS h
        WHERE (h.workspace_id, h.connector_config_id) = (c.workspace_id, c.id)
            AND h.started_at >= %(since)s AND h.finished_at IS NOT NULL AND h.mode <> 'remap'
    ) AS h
    CROSS JOIN LATERAL (
        SELECT count(*) AS rejects FROM rejects AS r
        WHERE (r.workspace_id, r.connector_config_id) = (c.workspace_id, c.id)
    ) AS r
    CROSS JOIN LATERAL (
        SELECT count(*) AS live FROM unified_customers AS t
        WHERE (t.workspace_id, t.connection_id, t.source_system) = (c.workspace_id, c.id, c.connector)
            AND t.deleted_at IS NULL
    ) AS customers
    CROSS JOIN LATERAL (
        SELECT count(*) AS live FROM unified_invoices AS t
        WHERE (t.workspace_id, t.connection_id, t.source_system) = (c.workspace_id, c.id, c.connector)
            AND t.deleted_at IS NULL
    ) AS invoices
    CROSS JOIN LATERAL (
        SELECT count(*) AS live FROM unified_events AS t
        WHERE (t.workspace_id, t.connection_id, t.source_system) = (c.workspace_id, c.id, c.connector)
            AND t.deleted_at IS NULL
    ) AS events
    WHERE %(connection)s::uuid IS NULL OR c.id = %(connection)s
    GROUP BY c.connector ORDER BY c.connector
"""


async def by_connector(
    conn: AsyncConnection[Any], since: datetime, *, connection_id: UUID | None = None
) -> list[Statistics]:
    """Statistics of the workspace's connections.

    Args:
        conn: A transaction of the workspace.
        since: Count pulls that began since then.
        connection_id: Only this connection; then there is one entry, or none where there is no such connection.

    Returns:
        One entry for each connector that has connections, by name.
    """
    async with conn.cursor(row_factory=class_row(Statistics)) as cursor:
        await cursor.execute(_STATISTICS, {"since": since, "connection": connection_id})
        return await cursor.fetchall()


async def live_records(conn: AsyncConnection[Any], connection_ids: Collection[UUID]) -> dict[UUID, int]:
    """Live records of all streams that some connections of the workspace have stored; none is left out.

    Args:
        conn: A transaction of the workspace.
        connection_ids: Which connections.
    """
    rows = await conn.execute(
        """
        SELECT connection_id, sum(live)::bigint FROM (
            SELECT connection_id, count(*) AS live FROM unified_customers
            WHERE connection_id = ANY(%(ids)s) AND deleted_at IS NULL GROUP BY 1
            UNION ALL
            SELECT connection_id, count(*) FROM unified_invoices
            WHERE connection_id = ANY(%(ids)s) AND deleted_at IS NULL GROUP BY 1
            UNION ALL
            SELECT connection_id, count(*) FROM unified_events
            WHERE connection_id = ANY(%(ids)s) AND deleted_at IS NULL GROUP BY 1
        ) AS streams GROUP BY 1
        """,
        {"ids": list(connection_ids)},
    )
    return dict.fromkeys(connection_ids, 0) | dict(await rows.fetchall())
