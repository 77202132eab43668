"""What routes look customers up by, but for what has an index: a row of ``customer_keys`` for each value, by its hash.

Which fields have rows follows from the routes (view ``customer_key_fields``). The merge writes them with the customers;
a route that is stored, changed or removed fills and empties them within its transaction. E-mail addresses and tax
numbers are looked up by indexes of their own (:mod:`unified.store.records.lookups`).
"""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.schema.conditions import CUSTOM
from unified.store.records.tables import StreamKey

_FIELDS = "SELECT field FROM customer_key_fields WHERE connection_id = %(connection)s AND stream = %(stream)s"

# Keeps batches of these connections from being committed: each locks its own FOR SHARE.
_LOCK = "SELECT FROM connector_configs WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"

_REMOVE = "DELETE FROM customer_keys WHERE connection_id = %(connection)s AND stream = %(stream)s AND "

_FILL = """
    INSERT INTO customer_keys (workspace_id, connection_id, stream, source_id, field, key_hash)
    SELECT t.workspace_id, t.connection_id, t.stream, t.source_id, e.field,
        sha256(convert_to(concat_ws('/', t.connection_id, t.stream, e.field, e.value), 'UTF8'))
    FROM {leaf} AS t CROSS JOIN LATERAL (
        SELECT {custom} || key, value FROM jsonb_each_text(t.custom_fields)
        UNION ALL VALUES ('phone', t.phone_key), ('domain_name', t.company_key)
    ) AS e (field, value)
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND e.field = ANY(%(fields)s)
        AND e.value IS NOT NULL
"""

# By one statement, so that rows are not removed between its two questions.
_FIND = f"""
    SELECT EXISTS ({_FIELDS} AND field = %(field)s), ARRAY(
        SELECT source_id FROM customer_keys WHERE key_hash = ANY(%(hashes)s) AND field = %(field)s
    )
"""  # noqa: S608 - a constant


async def find(
    conn: AsyncConnection[Any], key: StreamKey, field: str, values: Sequence[str]
) -> list[str] | None:
    """Source ids of customers of which a field has one of some values, deleted ones too.

    Args:
        conn: A transaction of the workspace.
        key: Among whose customers.
        field: ``phone``, ``domain_name`` or ``custom_fields.<key>``.
        values: As ``phone_key`` and ``company_key`` have them, or as ``->>`` shows them.

    Returns:
        Ids in no order; None where no route names the field, so its values are not kept.
    """
    hashes = [
        sha256(f"{key.connection_id}/{key.stream}/{field}/{value}".encode()).digest() for value in values
    ]
    rows = await conn.execute(_FIND, key.parameters() | {"field": field, "hashes": hashes})
    row = await rows.fetchone()
    return list(row[1]) if row and row[0] else None


async def keep(conn: AsyncConnection[Any], key: StreamKey, ids: Collection[str]) -> None:
    """Write anew the rows of customers that were just stored; where no route names a field, nothing is done.

    Args:
        conn: The transaction that stored them. It has locked the connection before, so fields do not change meanwhile.
        key: Whose customers.
        ids: Which.
    """
    if fields := await _fields(conn, key):
        await remove(conn, key, ids)
        await _fill(conn, key, fields, list(ids))


async def remove(conn: AsyncConnection[Any], key: StreamKey, ids: Collection[str]) -> int:
    """Remove the rows of some customers.

    Returns:
        How many there were.
    """
    values = key.parameters() | {"ids": list(ids)}
    return (await conn.execute(f"{_REMOVE} source_id = ANY(%(ids)s)".encode(), values)).rowcount


@asynccontextmanager
async def followed(conn: AsyncConnection[Any], keys: Sequence[StreamKey]) -> AsyncIterator[None]:
    """Let rows follow what a block does to a route: fields that it names first are filled, others are emptied.

    No batch of the connections is committed from here to the transaction's end. Where a field is new, the connection's
    customers are read once (benchmarks/lookups.py).

    Args:
        conn: A transaction of the workspace.
        keys: The streams that the route leads from and to.
    """
    await conn.execute(_LOCK, ([key.connection_id for key in keys],))
    before = [await _fields(conn, key) for key in keys]
    yield
    for key, former in zip(keys, before, strict=True):
        named = await _fields(conn, key)
        if different := sorted(named ^ former):
            statement = f"{_REMOVE} field = ANY(%(fields)s)".encode()
            await conn.execute(statement, key.parameters() | {"fields": different})
        if new := named - former:
            await _fill(conn, key, new)


async def sweep(conn: AsyncConnection[Any], removed_id: UUID) -> None:
    """Remove the rows of fields that no route of the workspace names: a connection was removed, its routes with it."""
    await conn.execute(
        """
        DELETE FROM customer_keys AS k
        WHERE connection_id = ANY(ARRAY(SELECT id FROM connector_configs) || %s) AND NOT EXISTS (
            SELECT FROM customer_key_fields AS f
            WHERE (f.connection_id, f.stream, f.field) = (k.connection_id, k.stream, k.field)
        )
        """,
        (removed_id,),
    )


async def _fields(conn: AsyncConnection[Any], key: StreamKey) -> frozenset[str]:
    rows = await conn.execute(_FIELDS, key.parameters())
    return frozenset(field for (field,) in await rows.fetchall())


async def _fill(
    conn: AsyncConnection[Any], key: StreamKey, fields: Collection[str], ids: list[str] | None = None
) -> None:
    """Write rows of some customers, or of all."""
    among = sql.SQL("" if ids is None else "AND t.source_id = ANY(%(ids)s)")
    statement = sql.SQL(_FILL).format(leaf=key.leaf, custom=sql.Literal(CUSTOM)) + among
    await conn.execute(statement, key.parameters() | {"fields": list(fields), "ids": ids})
