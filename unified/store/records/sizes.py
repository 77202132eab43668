"""How large the tables of a workspace are, and how fresh: for a look at the whole, not for exact accounts.

The counts are exact and the workspace's own. Disk space is counted by PostgreSQL for a whole table, which workspaces
share.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, sql

from unified.schema.entities import ENTITIES
from unified.store.records import derived


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
