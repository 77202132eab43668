"""How a workspace's syncs go and what they brought, added up by connector.

Each function works in a transaction of the workspace. Single syncs are in
:mod:`unified.store.records.history`, what waits in the inbox in :mod:`unified.store.inbox.events`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from unified.schema.entities import ENTITIES
from unified.store.connections.overview import MOST_PULLS
from unified.store.connections.rows import READS
from unified.store.rows import fetch


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
        rows: Live records stored at present, by stream; of each stream that one of them reads, if only none.
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


# Live records of one connection, ``o``, by stream.
_LIVE = " UNION ALL ".join(
    f"""
                    SELECT stream, count(*) AS live FROM {entity.table} AS t
                    WHERE (t.workspace_id, t.connection_id, t.source_system) = (o.workspace_id, o.id, o.connector)
                        AND t.deleted_at IS NULL GROUP BY stream
    """  # noqa: S608 - names of tables
    for entity in ENTITIES
)

# Each group is one connector. A remap asks no provider, so it counts neither as success nor as failure.
_STATISTICS = f"""
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
        coalesce((
            SELECT jsonb_object_agg(h.stream, 0) FROM connectors AS k
            CROSS JOIN unnest(k.streams) AS h (stream)
            WHERE k.name = c.connector AND EXISTS (
                SELECT FROM connector_configs AS c WHERE c.connector = k.name
                    AND (%(connection)s::uuid IS NULL OR c.id = %(connection)s) AND {READS}
            )
        ), '{{}}') || coalesce((
            SELECT jsonb_object_agg(s.stream, s.live) FROM (
                SELECT t.stream, sum(t.live) AS live FROM connector_configs AS o CROSS JOIN LATERAL ({_LIVE}) AS t
                WHERE o.connector = c.connector AND (%(connection)s::uuid IS NULL OR o.id = %(connection)s)
                GROUP BY t.stream
            ) AS s
        ), '{{}}') AS rows
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
    WHERE %(connection)s::uuid IS NULL OR c.id = %(connection)s
    GROUP BY c.connector ORDER BY c.connector
"""  # noqa: S608 - from above

_LIVE_BY_CONNECTION = " UNION ALL ".join(
    f"""
    SELECT connection_id, count(*) AS live FROM {entity.table}
    WHERE connection_id = ANY(%(ids)s) AND deleted_at IS NULL GROUP BY 1
    """  # noqa: S608 - names of tables
    for entity in ENTITIES
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How the pulls of one stream of a connection went.

    Attributes:
        connector: The connection's.
        connection_id: The connection.
        connection: Its name.
        stream: The stream.
        succeeded: Pulls that ended well in the span of time asked for.
        failed: Those that ended in an error.
        seconds: How long one took on average.
        last_error: The error of the last that failed.
        last_error_at: When that was.
    """

    connector: str
    connection_id: UUID
    connection: str
    stream: str
    succeeded: int
    failed: int
    seconds: float
    last_error: str | None
    last_error_at: datetime | None


# Pulls that have ended. A remap asks no provider.
_PULLS = """
    SELECT workspace_id, connector_config_id, stream, started_at, finished_at, error_message FROM sync_history
    WHERE started_at >= %(since)s AND finished_at IS NOT NULL AND mode <> 'remap'
"""
_OUTCOMES = f"""
    SELECT c.connector, c.id AS connection_id, c.name AS connection, h.stream,
        count(*) FILTER (WHERE h.error_message IS NULL) AS succeeded,
        count(*) FILTER (WHERE h.error_message IS NOT NULL) AS failed,
        avg(extract(epoch FROM h.finished_at - h.started_at))::float8 AS seconds,
        (array_agg(h.error_message ORDER BY h.finished_at DESC) FILTER (WHERE h.error_message IS NOT NULL))[1]
            AS last_error,
        max(h.finished_at) FILTER (WHERE h.error_message IS NOT NULL) AS last_error_at
    FROM (
        {_PULLS} AND connector_config_id IN (SELECT id FROM connector_configs WHERE connector = %(connector)s)
        ORDER BY started_at DESC LIMIT %(most)s
    ) AS h
    JOIN connector_configs AS c ON (c.workspace_id, c.id) = (h.workspace_id, h.connector_config_id)
    GROUP BY c.connector, c.id, c.name, h.stream
    ORDER BY count(h.error_message) = 0, c.name, h.stream LIMIT %(limit)s
"""  # noqa: S608 - constants


async def outcomes(
    conn: AsyncConnection[Any], since: datetime, connector: str, *, limit: int
) -> list[Outcomes]:
    """How a connector's newest pulls went, by connection and stream, those with failures first.

    Args:
        conn: A transaction of the workspace.
        since: Count pulls that began since then, :data:`MOST_PULLS` at most.
        connector: Whose connections.
        limit: How many of these at most.
    """
    return await fetch(
        conn, Outcomes, _OUTCOMES, since=since, connector=connector, most=MOST_PULLS, limit=limit
    )


async def success_rates(conn: AsyncConnection[Any], since: datetime) -> dict[str, float]:
    """Which share of the workspace's newest pulls ended well, 0 to 1, by connector; one without any is left out.

    Args:
        conn: A transaction of the workspace.
        since: Count pulls that began since then, :data:`MOST_PULLS` at most.
    """
    rows = await conn.execute(
        f"""
        SELECT c.connector, avg((h.error_message IS NULL)::int)::float8
        FROM ({_PULLS} ORDER BY started_at DESC LIMIT %(most)s) AS h
        JOIN connector_configs AS c ON (c.workspace_id, c.id) = (h.workspace_id, h.connector_config_id)
        GROUP BY c.connector
        """,  # noqa: S608 - constants
        {"since": since, "most": MOST_PULLS},
    )
    return dict(await rows.fetchall())


# Of a connection with a stream that was read and not counted, the others say too little.
_COUNTED = """
    SELECT k.connector_config_id, sum(k.found)::bigint FROM kept_counts AS k
    WHERE k.connector_config_id = ANY(%(ids)s) AND k.what = 'live'
    GROUP BY k.connector_config_id
    HAVING NOT EXISTS (
        SELECT FROM cursors AS c WHERE c.connector_config_id = k.connector_config_id
            AND c.stream <> ALL(array_agg(k.stream))
    )
"""


async def live_records(conn: AsyncConnection[Any], connection_ids: Collection[UUID]) -> dict[UUID, int]:
    """Live records of all streams of some connections, as syncs have counted them last; none is left out.

    Those of a connection of which a stream has not been counted are counted now.

    Args:
        conn: A transaction of the workspace.
        connection_ids: Which connections.
    """
    rows = await conn.execute(_COUNTED, {"ids": list(connection_ids)})
    counted = dict(await rows.fetchall())
    if others := [one for one in connection_ids if one not in counted]:
        rows = await conn.execute(
            f"SELECT connection_id, sum(live)::bigint FROM ({_LIVE_BY_CONNECTION}) AS tables GROUP BY 1",  # noqa: S608
            {"ids": others},
        )
        counted |= dict(await rows.fetchall())
    return dict.fromkeys(connection_ids, 0) | counted


async def live_by_stream(conn: AsyncConnection[Any], connection_id: UUID) -> dict[str, int]:
    """Live records of each stream of a connection; empty where there is no such connection.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
    """
    found = await by_connector(conn, datetime.now(UTC), connection_id=connection_id)
    return {stream: int(live) for one in found for stream, live in one.rows.items()}


async def rejects_by_stream(conn: AsyncConnection[Any], connection_id: UUID) -> dict[str, int]:
    """Raw records of a connection that could not be mapped, by stream; a stream without any is left out.

    Args:
        conn: A transaction of the workspace.
        connection_id: Which connection.
    """
    rows = await conn.execute(
        "SELECT stream, count(*) FROM rejects WHERE connector_config_id = %s GROUP BY stream",
        (connection_id,),
    )
    return dict(await rows.fetchall())
