"""How large the tables of a workspace are, and how fresh: for a look at the whole, not for exact accounts.

The counts of :func:`tables` are exact and the workspace's own. Disk space is counted by PostgreSQL for a whole table,
which workspaces share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, sql

from unified.schema.entities import ENTITIES
from unified.store.records import derived
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The rows of one stream in one table, or a derived table.

    Attributes:
        table: The table that is asked in SQL, such as ``unified_customers``.
        connector: Where the rows come from; None for a derived table.
        stream: Which stream of it.
        live: Rows of records that are at their source, or all rows of a derived table.
        deleted: Tombstones.
        synced_at: When the newest of the rows was read; None for a derived table.
        bytes: Disk space with indexes of the connector's part of the table, of all its streams and workspaces.
    """

    table: str
    connector: str | None
    stream: str | None
    live: int
    deleted: int
    synced_at: datetime | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where the records of a stream are.

    Attributes:
        connector: Whose stream.
        stream: Its name.
        table: The table that is asked in SQL.
        name: The connector's part of it.
    """

    connector: str
    stream: str
    table: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedStream:
    """The records of one stream, as they were counted last.

    Attributes:
        connector: Where they come from.
        stream: Which stream of it.
        table: The table that is asked in SQL.
        connections: How many connections have brought some.
        live: Records that are at their source.
        synced_at: When one of these connections was last synced.
        bytes: About how much disk space they take, with indexes; None where PostgreSQL has not looked yet.
    """

    connector: str
    stream: str
    table: str
    connections: int
    live: int
    synced_at: datetime | None
    bytes: int | None


async def as_counted(conn: AsyncConnection[Any], leaves: Sequence[Leaf]) -> list[CountedStream]:
    """What is stored of a workspace by counts that its syncs have kept: a query of small tables alone.

    Of the disk space that workspaces share, this one's part is taken by its part of the rows, which says nothing exact
    about the others.

    Args:
        conn: A transaction of the workspace.
        leaves: Where the records of each stream are.
    """
    return await fetch(
        conn,
        CountedStream,
        """
        SELECT l.connector, l.stream, l."table", count(*) AS connections, sum(k.found)::bigint AS live,
            max(c.last_sync_at) AS synced_at,
            CASE WHEN t.reltuples >= 0 THEN
                (pg_total_relation_size(t.oid) * sum(k.found) / greatest(t.reltuples::numeric, sum(k.found), 1))::bigint
            END AS bytes
        FROM unnest(%(connectors)s::text[], %(streams)s::text[], %(tables)s::text[], %(leaves)s::text[])
            AS l (connector, stream, "table", leaf)
        JOIN connector_configs AS c ON c.connector = l.connector
        JOIN kept_counts AS k ON (k.workspace_id, k.connector_config_id, k.stream) = (c.workspace_id, c.id, l.stream)
        LEFT JOIN pg_class AS t ON t.oid = to_regclass(l.leaf)
        WHERE k.what = 'live' GROUP BY l.connector, l.stream, l."table", t.oid, t.reltuples
        ORDER BY l.connector, l.stream
        """,
        connectors=[one.connector for one in leaves],
        streams=[one.stream for one in leaves],
        tables=[one.table for one in leaves],
        leaves=[one.name for one in leaves],
    )


async def tables(conn: AsyncConnection[Any]) -> list[TableSize]:
    """The tables that have rows of a workspace, derived ones included.

    Args:
        conn: A transaction of the workspace.
    """
    return [
        *[one for entity in ENTITIES for one in await _of_streams(conn, entity.table)],
        *[await _derived(conn, table) for table in await derived.tables(conn)],
    ]


async def _of_streams(conn: AsyncConnection[Any], table: str) -> list[TableSize]:
    rows = await conn.execute(
        sql.SQL(
            """
            SELECT source_system, stream, count(*) FILTER (WHERE deleted_at IS NULL),
                count(*) FILTER (WHERE deleted_at IS NOT NULL), max(synced_at),
                coalesce(pg_total_relation_size(to_regclass({name} || '_' || source_system)), 0)
            FROM {table} GROUP BY 1, 2 ORDER BY 1, 2
            """
        ).format(table=sql.Identifier(table), name=sql.Literal(table))
    )
    return [
        TableSize(
            table=table,
            connector=row[0],
            stream=row[1],
            live=row[2],
            deleted=row[3],
            synced_at=row[4],
            bytes=row[5],
        )
        for row in await rows.fetchall()
    ]


async def _derived(conn: AsyncConnection[Any], table: str) -> TableSize:
    rows = await conn.execute(
        sql.SQL("SELECT count(*), pg_total_relation_size({name}::regclass) FROM {table}").format(
            table=sql.Identifier(table), name=sql.Literal(table)
        )
    )
    live, size = await rows.fetchone() or (0, 0)
    return TableSize(
        table=table, connector=None, stream=None, live=live, deleted=0, synced_at=None, bytes=size
    )
