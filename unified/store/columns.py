"""What is stored of a connection, as other columns are left out or hashed: what is not mapped again.

Every function works in a transaction of the workspace that its caller opened. Rows are mapped again by
`unified.sync.columns.settling`, which says what runs when.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb

from unified.kit.mapping.column_rules import Rules
from unified.store.errors import ColumnsChangedError
from unified.store.records import suppressions
from unified.store.records.tables import TABLES, StreamKey

_CHUNK = 500
_EVENTS = (("webhook_inbox", "id"), ("webhook_dead_letters", "event_hash"))


async def empty_former(conn: AsyncConnection[Any], key: StreamKey) -> None:
    """Empty all personal columns of a stream's tombstones and former states.

    The same of records that are stored in a state that can't be mapped any more: it is among the rejects.
    """
    table = TABLES[key.entity]
    statement = sql.SQL(
        "UPDATE {} AS t SET {}, content_hash = 0 WHERE connection_id = %(connection)s AND stream = %(stream)s "
        "AND (deleted_at IS NOT NULL OR EXISTS ("
        "SELECT FROM rejects AS r WHERE r.connector_config_id = %(connection)s AND r.stream = %(stream)s "
        "AND r.source_id = t.source_id AND r.observed_at = t.observed_at)) AND ({})"
    ).format(key.leaf, suppressions.emptying(table), suppressions.differs(table))
    await conn.execute(statement, key.parameters())
    if key.entity.history:
        statement = sql.SQL(
            "UPDATE {} SET {} WHERE connection_id = %(connection)s AND stream = %(stream)s AND ({})"
        ).format(
            sql.Identifier(key.entity.history), suppressions.emptying(table), suppressions.differs(table)
        )
        await conn.execute(statement, key.parameters())


async def drop_rejects(conn: AsyncConnection[Any], key: StreamKey, before: datetime) -> None:
    """Drop a stream's rejects that were not met since a time: raw records and reasons as they were."""
    await conn.execute(
        "DELETE FROM rejects WHERE connector_config_id = %(connection)s AND stream = %(stream)s "
        "AND last_seen_at < %(before)s",
        key.parameters() | {"before": before},
    )


async def rewrite_events(
    conn: AsyncConnection[Any], connection_id: UUID, kept: Callable[[bytes], bytes]
) -> None:
    """Replace the bodies of a connection's received events and dead letters by what may be kept of them."""
    for table, key in _EVENTS:
        names = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
        read = sql.SQL("SELECT {key}, body FROM {table} WHERE connection_id = %s").format(**names)
        write = sql.SQL("UPDATE {table} SET body = %s WHERE {key} = %s AND connection_id = %s").format(
            **names
        )
        async with conn.cursor("events") as cursor:
            await cursor.execute(read, (connection_id,))
            while rows := await cursor.fetchmany(_CHUNK):
                bodies = [(kept(body), event, body) for event, body in rows]
                values = [(new, event, connection_id) for new, event, body in bodies if new != body]
                async with conn.cursor() as writing:
                    await writing.executemany(write, values)


async def ensure(conn: AsyncConnection[Any], connection_id: UUID, rules: Rules) -> None:
    """Have a connection leave out or hash these columns until the transaction ends.

    Raises:
        ColumnsChangedError: If it leaves out others by now.
    """
    rows = await conn.execute(
        "SELECT columns FROM connector_configs WHERE id = %s FOR SHARE", (connection_id,)
    )
    if (row := await rows.fetchone()) and row[0] != rules:
        raise ColumnsChangedError


async def note_stored(conn: AsyncConnection[Any], connection_id: UUID, rules: Rules) -> None:
    """Note that all that is stored obeys some rules, unless they are others by now."""
    await conn.execute(
        "UPDATE connector_configs SET stored_columns = %(rules)s WHERE id = %(id)s AND columns = %(rules)s",
        {"id": connection_id, "rules": Jsonb(rules)},
    )
