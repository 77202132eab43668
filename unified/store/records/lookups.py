"""Finds customers of a connection: by their ids, all in order, or by keys that show that two records are one."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from unified.schema.base import UnifiedBase
from unified.schema.conditions import CUSTOM
from unified.store.records import keys
from unified.store.records.tables import StreamKey

# Keys with an index of their own, and the columns that have it.
_INDEXED = {"email": "email_key", "tax_number": "tax_number"}
# What others compare; where a route names them, their values are kept apart.
_COLUMNS = {"phone": sql.Identifier("phone_key"), "domain_name": sql.Identifier("company_key")}


async def by_ids(conn: AsyncConnection[Any], key: StreamKey, ids: Sequence[str]) -> dict[str, UnifiedBase]:
    """Stored records by their ids, tombstones too, without raw data; those that are not stored are missing.

    Args:
        conn: A transaction of the workspace.
        key: Whose records.
        ids: Which, any number.
    """
    return {
        record.source_id: record
        for record in await _read(conn, key, "source_id = ANY(%(ids)s)", ids=list(ids))
    }


async def by_key(
    conn: AsyncConnection[Any], key: StreamKey, name: str, values: Sequence[str]
) -> list[UnifiedBase]:
    """Live records that a key finds.

    Args:
        conn: A transaction of the workspace.
        key: Among whose records.
        name: ``email``, ``phone`` (by its last eight digits), ``tax_number``, ``domain_name`` or a custom field.
        values: What to look for, as the key compares it: ``lower@case``, ``12345678``, ``domain|name``.
    """
    condition = sql.SQL("deleted_at IS NULL AND {} = ANY(%(values)s)")
    if column := _INDEXED.get(name):
        return await _read(conn, key, condition.format(sql.Identifier(column)), values=list(values))
    ids = await keys.find(conn, key, name, values)
    if ids is None:
        # A run under way, whose route does not name the key any more: it reads the connection's customers once.
        custom = sql.SQL("custom_fields ->> {}").format(sql.Literal(name.removeprefix(CUSTOM)))
        return await _read(conn, key, condition.format(_COLUMNS.get(name, custom)), values=list(values))
    return await _read(conn, key, condition.format(sql.Identifier("source_id")), values=ids)


async def ids_after(conn: AsyncConnection[Any], key: StreamKey, after: str, *, limit: int) -> list[str]:
    """Ids of a connection's records in their order, tombstones left out, some at a time."""
    statement = sql.SQL(
        "SELECT source_id FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s"
        " AND source_id > %(after)s AND deleted_at IS NULL ORDER BY source_id LIMIT %(limit)s"
    ).format(key.leaf)
    result = await conn.execute(statement, key.parameters() | {"after": after, "limit": limit})
    return [row[0] for row in await result.fetchall()]


async def _read(
    conn: AsyncConnection[Any], key: StreamKey, condition: str | sql.Composable, **values: Any
) -> list[UnifiedBase]:
    columns = [column.name for column in key.table.columns if column.name != "raw_data"]
    where = sql.SQL(condition) if isinstance(condition, str) else condition
    statement = sql.SQL(
        "SELECT schema_version, {} FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s AND {}"
    ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), key.leaf, where)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, key.parameters() | values)
        return [key.table.read_row(row) for row in await cursor.fetchall()]
