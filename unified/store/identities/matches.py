"""Pairs of records that a statistical model holds to be one customer.

`unified.sync.identities.probabilistic` finds them.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.store.identities.records import CUSTOMER_COLUMNS, Customer
from unified.store.records.tables import READ_CHUNK


async def customers(conn: AsyncConnection[Any]) -> AsyncIterator[Customer]:
    """All customers of the transaction's workspace that the resolver knows, one after the other."""
    query = sql.SQL(
        """
        SELECT {} FROM identity_records AS r
        JOIN unified_customers AS u ON (u.connection_id, u.source_id, u.source_system, u.unified_id)
            = (r.connection_id, r.source_id, r.source_system, r.unified_id)
        ORDER BY r.unified_id
        """
    ).format(CUSTOMER_COLUMNS)
    async with conn.cursor("customers") as cursor:
        cursor.itersize = READ_CHUNK
        await cursor.execute(query)
        async for row in cursor:
            yield Customer._make(row)


async def replace(
    conn: AsyncConnection[Any], workspace_id: UUID, pairs: Sequence[tuple[UUID, UUID, float]]
) -> None:
    """Keep these pairs in place of those that there were, and queue the records of those that come, go or change.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        pairs: Two records and their probability.
    """
    await conn.execute(
        """
        WITH found AS MATERIALIZED (
            SELECT least(one, other) AS low_id, greatest(one, other) AS high_id, max(probability) AS probability
            FROM unnest(%(ones)s::uuid[], %(others)s::uuid[], %(probabilities)s::float8[])
                AS p (one, other, probability)
            GROUP BY 1, 2
        ), gone AS (
            DELETE FROM identity_matches AS m
            WHERE NOT EXISTS (SELECT FROM found AS f WHERE (f.low_id, f.high_id) = (m.low_id, m.high_id))
            RETURNING low_id, high_id
        ), come AS (
            INSERT INTO identity_matches AS m (workspace_id, low_id, high_id, probability)
            SELECT %(workspace)s, * FROM found
            ON CONFLICT (workspace_id, low_id, high_id) DO UPDATE SET probability = excluded.probability
            WHERE m.probability <> excluded.probability
            RETURNING low_id, high_id
        )
        INSERT INTO identity_queue (workspace_id, unified_id)
        SELECT DISTINCT %(workspace)s::uuid, unnest(ARRAY[low_id, high_id])
        FROM (SELECT * FROM gone UNION ALL SELECT * FROM come) AS touched
        ON CONFLICT DO NOTHING
        """,
        {
            "workspace": workspace_id,
            "ones": [one for one, _, _ in pairs],
            "others": [other for _, other, _ in pairs],
            "probabilities": [probability for _, _, probability in pairs],
        },
    )
