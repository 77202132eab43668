"""Tables of assets that users derive: one table per asset, each partition's rows replaced as a whole.

The table is made from the first frame's columns, as the owner, and isolated by workspace like every other.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from store.database import Database
from store.errors import StoreError

class DerivedTableError(StoreError):
    """An asset's key or columns make no table."""


PREFIX = "derived_"
_LONGEST_NAME = 63
_KEYS = ("workspace_id", "partition_key")


def table_name(parts: Sequence[str]) -> str:
    """Name of the table of an asset key: ``derived_stripe_monthly_revenue``.

    Raises:
        DerivedTableError: If it is longer than PostgreSQL's 63 bytes.
    """
    name = PREFIX + "_".join(parts)
    if len(name.encode()) > _LONGEST_NAME:
        msg = f"the asset key {'/'.join(parts)} makes a table name longer than {_LONGEST_NAME} bytes; shorten it"
        raise DerivedTableError(msg)
    return name


async def replace(
    db: Database,
    table: str,
    workspace_id: UUID,
    partition_key: str,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Replace one partition's rows; others stay.

    Args:
        db: The database.
        table: From :func:`table_name`.
        workspace_id: Whose rows they are.
        partition_key: Which of its partitions.
        columns: PostgreSQL types by column name.
        rows: Values in the order of ``columns``.

    Raises:
        DerivedTableError: If a column has the name of one of the keys.
    """
    if taken := set(_KEYS) & set(columns):
        msg = f"a derived table has its own {' and '.join(sorted(taken))}; leave that column out of the frame"
        raise DerivedTableError(msg)
    async with db.owner() as conn:
        await _shape(conn, table, columns)
    names = sql.SQL(", ").join(map(sql.Identifier, (*_KEYS, *columns)))
    values = sql.SQL(", ").join([sql.Placeholder()] * (len(columns) + len(_KEYS)))
    async with db.workspace(workspace_id) as conn, conn.cursor() as cursor:
        await cursor.execute(
            sql.SQL("DELETE FROM {} WHERE partition_key = %s").format(sql.Identifier(table)), (partition_key,)
        )
        await cursor.executemany(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, values),
            [(workspace_id, partition_key, *row) for row in rows],
        )


async def read(
    db: Database, table: str, workspace_id: UUID, partition_key: str
) -> AsyncIterator[tuple[list[str], list[tuple[Any, ...]]]]:
    """Yield one partition's columns and rows, without the keys; nothing where the table does not exist yet."""
    async with db.workspace(workspace_id) as conn:
        row = await (await conn.execute("SELECT to_regclass(%s)", (table,))).fetchone()
        if row is None or row[0] is None:
            return
        query = sql.SQL("SELECT * FROM {} WHERE partition_key = %s").format(sql.Identifier(table))
        cursor = await conn.execute(query, (partition_key,))
        names = [column.name for column in cursor.description or ()]
        yield names[len(_KEYS) :], [tuple(found)[len(_KEYS) :] for found in await cursor.fetchall()]


async def _shape(conn: AsyncConnection[Any], table: str, columns: Mapping[str, str]) -> None:
    """Make the table, or add the columns that it lacks. The lock keeps two first runs apart."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table,))
    row = await (await conn.execute("SELECT to_regclass(%s)", (table,))).fetchone()
    name = sql.Identifier(table)
    if row is None or row[0] is None:
        await conn.execute(
            sql.SQL("CREATE TABLE {} (workspace_id uuid NOT NULL, partition_key text NOT NULL)").format(name)
        )
        await conn.execute(
            sql.SQL("CREATE INDEX ON {} (workspace_id, partition_key)").format(name),
        )
        await conn.execute("CALL isolate_by_workspace(%s::regclass)", (table,))
        await conn.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO unified_app").format(name))
    for column, kind in columns.items():
        await conn.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                name, sql.Identifier(column), sql.SQL(kind)
            )
        )
