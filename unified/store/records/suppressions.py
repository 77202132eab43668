"""Records of persons whose data were deleted on request, as a commit meets them again: they stay out.

A customer that is suppressed is not stored, whatever a sync or a drain brings. What else names it (an invoice, an
event) is stored without its personal columns. Who suppresses, and what is emptied then: :mod:`unified.store.privacy`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.kit.errors import AdapterError
from unified.kit.factory import build_adapter
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.schema import connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES
from unified.store.connections.rows import read_connection
from unified.store.records.tables import UnifiedTable
from unified.store.records.traces import About, Traces

# Columns of text that name no person. Numbers, times and flags stay as well; any other text or JSON goes, that of
# columns to come too.
_IDENTITY = {"source_system", "stream", "source_id", "schema_version"}
_KEPT = {
    INVOICES: {"customer_id", "invoice_number", "status", "currency", "kind", "remote_status"},
    EVENTS: {"event_type", "event_category", "resource_type", "resource_id", "api_version"},
}
_EMPTY = {"text[]": "'{}'", "custom_fields": "'{}'"}
# An invoice's lines keep what its amounts are made of.
_LINES = """(
    SELECT coalesce(jsonb_agg((
        SELECT jsonb_object_agg(key, value) FROM jsonb_each(line)
        WHERE key IN ('source_id', 'quantity', 'unit_price', 'amount', 'tax', 'discount', 'item_id',
            'period_start', 'period_end')
    )), '[]') FROM jsonb_array_elements(line_items) AS l (line)
)"""


@cache
def emptied(table: UnifiedTable) -> Mapping[str, str]:
    """The columns of a table that hold personal data, each with what takes its place, in SQL."""
    kept = _IDENTITY | _KEPT.get(table.entity, set())
    of_model = {
        column.name: _LINES
        if column.name == "line_items"
        else _EMPTY.get(column.name, _EMPTY.get(column.type, "NULL"))
        for column in table.columns
        if column.type in ("text", "text[]", "json", "jsonb") and column.name not in kept
    }
    return of_model | {"raw_compressed": "NULL"}


def emptying(table: UnifiedTable) -> sql.Composed:
    """``column = value, …`` for all of these columns."""
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value))
        for name, value in emptied(table).items()
    )


def differs(table: UnifiedTable) -> sql.Composed:
    """Whether a row has anything in them."""
    json = {column.name for column in table.columns if column.type == "json"}  # which can't be compared
    return sql.SQL(" OR ").join(
        sql.SQL("{} IS NOT NULL" if name in json else "{} IS DISTINCT FROM {}").format(
            sql.Identifier(name), *([] if name in json else [sql.SQL(value)])
        )
        for name, value in emptied(table).items()
    )


def erased(table: UnifiedTable) -> sql.Composable:
    """Whether a row, called ``t``, holds nothing personal any more since its person's data were deleted.

    Of customers that is known. Another record says so by being empty, as is one that was only ever known as deleted.
    """
    if table.entity is CUSTOMERS:
        return sql.SQL(
            "EXISTS (SELECT FROM suppressed_records AS s WHERE (s.connector_config_id, s.stream, s.source_id)"
            " = (t.connection_id, t.stream, t.source_id) AND s.emptied_at IS NOT NULL)"
        )
    return sql.SQL("NOT ({})").format(differs(table))


async def add(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    connection_id: UUID,
    stream: str,
    ids: Sequence[str],
    *,
    actor: str,
    emptied_at: datetime | None = None,
) -> int:
    """Suppress records of a stream of customers; those that are already stay as they are.

    Args:
        conn: A transaction of the workspace.
        workspace_id: The workspace.
        connection_id: Whose records.
        stream: Which stream.
        ids: Their source ids.
        actor: Who asked for it.
        emptied_at: When what is stored of them is emptied, where that is part of the transaction.

    Returns:
        How many are new.
    """
    namespace = connection_namespace(workspace_id, connection_id, stream)
    result = await conn.execute(
        """
        INSERT INTO suppressed_records
            (workspace_id, connector_config_id, stream, source_id, unified_id, suppressed_by, emptied_at)
        SELECT %(workspace)s, %(connection)s, %(stream)s, s.source_id, s.unified_id, %(actor)s, %(emptied)s
        FROM unnest(%(ids)s::text[], %(unified_ids)s::uuid[]) AS s (source_id, unified_id)
        ON CONFLICT DO NOTHING
        """,
        {
            "workspace": workspace_id,
            "connection": connection_id,
            "stream": stream,
            "ids": sorted(ids),
            "unified_ids": [unified_id(namespace, one) for one in sorted(ids)],
            "actor": actor,
            "emptied": emptied_at,
        },
    )
    return result.rowcount


async def traces_of(conn: AsyncConnection[Any], connection_id: UUID) -> Traces | None:
    """What all of a connection's suppressed records are recognised by; None where it has none."""
    result = await conn.execute(
        "SELECT stream, source_id FROM suppressed_records WHERE connector_config_id = %s", (connection_id,)
    )
    ids: dict[str, set[str]] = {}
    for stream, source_id in await result.fetchall():
        ids.setdefault(stream, set()).add(source_id)
    if not ids:
        return None
    found = {stream: frozenset(of) for stream, of in ids.items()}
    return Traces(found, about=await about(conn, connection_id))


async def about(conn: AsyncConnection[Any], connection_id: UUID) -> About:
    """What says which records an event of a connection is about: nothing, where its connector takes no webhooks."""
    connection = await read_connection(conn, connection_id)
    try:
        adapter = build_adapter(connection.connector, connection.settings, {}, connection.ref)
    except AdapterError:  # settings of an earlier release, or a connector that is not installed
        return lambda _: ()
    subjects: Callable[[ReceivedEvent], Iterable[Any]] = adapter.subjects

    def named(body: bytes) -> list[tuple[str, str]]:
        event = ReceivedEvent("", "", None, body)
        try:
            return [(one.stream, one.source_id) for one in subjects(event)]
        except Exception:  # noqa: BLE001 - an event that breaks an adapter must not stop what is stored beside it
            return []

    return named
