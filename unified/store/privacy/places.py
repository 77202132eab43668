"""Every place that holds a person's data, and how it is emptied.

- Customers stay as tombstones: ids and times, nothing else.
- Former states of customers go with them. Those of other customers that name the person, as one whose address was
  theirs, are emptied like what follows.
- Invoices, events and other records that name the person keep ids, amounts, types and times; text and raw records go.
- Rejects, received events (drained or not), dead letters, pushes under way, keys of identities, decisions on them and
  golden customers go as a whole. What is left of an identity is resolved anew by its next run.
- Keys by which routes look customers up go as a whole.
- Dictionaries of compressed raw records hold names of fields, and what fifty persons have; one in which an id or
  address of theirs stands goes as well, and all of a connection where they are fifty customers themselves.
- Links of routes keep their two ids; the values go, and nothing is pushed along them.
- Rows of derived tables go where a value is an address or a long id; the asset's next run makes its table anew.

Not here: audit logs and histories, which hold ids and counts, and credentials.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.kit.registry import get_adapter
from unified.schema.entities import CUSTOMERS, ENTITIES, INVOICES, Entity
from unified.store.connections.rows import ConnectionSummary
from unified.store.identities import records as identity_records
from unified.store.privacy.persons import Person
from unified.store.records import derived, keys, repacking, suppressions
from unified.store.records.raw import forms
from unified.store.records.tables import TABLES, StreamKey
from unified.store.records.traces import Traces, is_distinct

_Conn = AsyncConnection[Any]
_Ids = Mapping[str, frozenset[str]]
_CHUNK = 500

# Pushes of a person's record, and one that is on its way to it.
_REMOVE_PUSHES = """
    DELETE FROM route_outbox AS o USING routes AS r
    WHERE r.{connection} = %(connection)s AND r.{stream} = %(stream)s AND o.route_id = r.id AND (
        o.side = {side} AND o.record_id = ANY(%(ids)s)
        OR o.side <> {side} AND o.other_id = ANY(%(ids)s) AND o.state = 'sending'
    )
"""
_REMOVE_FORMER = (
    "DELETE FROM customers_history WHERE connection_id = %s AND stream = %s AND source_id = ANY(%s)"
)
# Other records that wait, and of which it was proposed that they are the same one: they are matched again.
_ASK_ANEW = """
    UPDATE route_outbox AS o SET candidates = '[]', other_id = NULL, decision = NULL, operation = NULL, body = NULL,
        agreed = NULL, reason = NULL, state = CASE o.state WHEN 'skipped' THEN 'skipped' ELSE 'due' END
    FROM routes AS r
    WHERE r.{connection} = %(connection)s AND r.{stream} = %(stream)s AND o.route_id = r.id AND o.side <> {side}
        AND (o.other_id = ANY(%(ids)s) OR EXISTS (
            SELECT FROM jsonb_array_elements(o.candidates) AS c (one) WHERE c.one ->> 'id' = ANY(%(ids)s)
        ))
"""


async def empty(
    conn: _Conn, workspace_id: UUID, person: Person, connections: Sequence[ConnectionSummary]
) -> Counter[str]:
    """Empty all that is stored of a person, as part of the caller's transaction.

    Args:
        conn: A transaction of the workspace, which has its connections locked.
        workspace_id: The workspace.
        person: Whose data.
        connections: All of its connections.

    Returns:
        How many rows of each table were emptied or removed.
    """
    counts: Counter[str] = Counter()
    unified_ids: list[UUID] = []
    for connection in connections:
        ids = person.ids(connection.id)
        if not ids and not person.addresses:
            continue
        about = await suppressions.about(conn, connection.id)
        traces = Traces(ids, person.addresses, about)
        emptied = await _empty_customers(conn, connection, ids)
        counts[CUSTOMERS.table] += emptied
        for stream, found in ids.items():
            removed = await conn.execute(_REMOVE_FORMER, (connection.id, stream, list(found)))
            counts["customers_history"] += removed.rowcount
        for stream, found in ids.items():
            named = StreamKey(workspace_id, connection.id, connection.connector, CUSTOMERS, stream)
            counts["customer_keys"] += await keys.remove(conn, named, found)
        invoices = await invoices_of(conn, connection, ids)
        # An event may be about one of their invoices, and say nothing of them but its values.
        traces = Traces({**ids, **invoices}, person.addresses, about)
        for entity in ENTITIES:
            of = invoices if entity is INVOICES else {}
            if entity is not CUSTOMERS:
                leaf = entity.leaf(connection.connector)
                counts[entity.table] += await _empty_records(conn, connection, entity, leaf, traces, of)
            if entity.history:
                counts[entity.history] += await _empty_records(
                    conn, connection, entity, entity.history, traces, of
                )
        customers = sum(map(len, ids.values()))
        counts["raw_dictionaries"] += await repacking.forget_dictionaries(conn, connection, traces, customers)
        counts["rejects"] += await _remove_rejects(conn, connection, traces)
        for table, key in (("webhook_inbox", "id"), ("webhook_dead_letters", "event_hash")):
            counts[table] += await _remove_events(conn, connection, traces, table, key)
        unified_ids += await _unified_ids(conn, connection, ids)
        counts += await _empty_routes(conn, connection, ids)
    counts += await identity_records.remove(conn, workspace_id, unified_ids)
    counts += await _remove_derived(conn, person, unified_ids)
    return +counts


async def _empty_customers(conn: _Conn, connection: ConnectionSummary, ids: _Ids) -> int:
    table = TABLES[CUSTOMERS]
    count = 0
    for stream, found in ids.items():
        query = sql.SQL(
            """
            WITH changed AS (
                UPDATE {leaf} SET {emptying}, content_hash = 0, is_active = false, synced_at = now(),
                    deleted_at = coalesce(deleted_at, now()), observed_at = greatest(observed_at, now())
                WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s)
                    AND ({differs} OR deleted_at IS NULL OR content_hash <> 0)
                RETURNING source_id
            ), noted AS (
                INSERT INTO customer_changes (workspace_id, connection_id, stream, source_ids)
                SELECT %(workspace)s, %(connection)s, %(stream)s, array_agg(source_id) FROM changed HAVING count(*) > 0
            )
            SELECT count(*) FROM changed
            """
        ).format(
            leaf=sql.Identifier(CUSTOMERS.leaf(connection.connector)),
            emptying=suppressions.emptying(table),
            differs=suppressions.differs(table),
        )
        values = {
            "workspace": connection.workspace_id,
            "connection": connection.id,
            "stream": stream,
            "ids": list(found),
        }
        row = await (await conn.execute(query, values)).fetchone()
        count += row[0] if row else 0
    return count


async def invoices_of(conn: _Conn, connection: ConnectionSummary, ids: _Ids) -> dict[str, frozenset[str]]:
    """The invoices that name one of these customers, by stream."""
    found: dict[str, frozenset[str]] = {}
    for stream in get_adapter(connection.connector).all_streams():
        if stream.customers and stream.customers in ids:
            query = sql.SQL(
                "SELECT source_id FROM {} WHERE connection_id = %s AND stream = %s AND customer_id = ANY(%s)"
            ).format(sql.Identifier(INVOICES.leaf(connection.connector)))
            rows = await conn.execute(query, (connection.id, stream.name, list(ids[stream.customers])))
            found[stream.name] = frozenset(row[0] for row in await rows.fetchall())
    return found


async def _empty_records(
    conn: _Conn, connection: ConnectionSummary, entity: Entity, table: str, traces: Traces, known: _Ids
) -> int:
    """Empty what names the person, by its ids or by its raw record, in a table of an entity's rows."""
    leaf = sql.Identifier(table)
    found: dict[str, set[str]] = {stream: set(ids) for stream, ids in known.items()}
    if traces.pattern:
        query = sql.SQL(
            """
            SELECT stream, source_id, {} FROM {} WHERE connection_id = %s AND (
                raw_compressed IS NOT NULL OR encode(convert_to(raw_data::text, 'UTF8'), 'escape') ~* %s
            )
            """
        ).format(forms.KEPT, leaf)
        async for rows in _chunks(conn, query, (connection.id, traces.pattern)):
            raws = await forms.opened(conn, [kept for _, _, kept in rows])
            for (stream, source_id, _), raw in zip(rows, raws, strict=True):
                if traces.are_in(raw):
                    found.setdefault(stream, set()).add(source_id)
    count = 0
    for stream, ids in found.items():
        query = sql.SQL(
            "UPDATE {} SET {} WHERE connection_id = %s AND stream = %s AND source_id = ANY(%s) AND ({})"
        ).format(leaf, suppressions.emptying(TABLES[entity]), suppressions.differs(TABLES[entity]))
        count += (await conn.execute(query, (connection.id, stream, list(ids)))).rowcount
    return count


async def _remove_rejects(conn: _Conn, connection: ConnectionSummary, traces: Traces) -> int:
    query = sql.SQL(
        """
        SELECT stream, record_key, source_id, raw FROM rejects WHERE connector_config_id = %(connection)s
            AND (source_id = ANY(%(ids)s) OR encode(raw, 'escape') ~* %(pattern)s)
        """
    )
    ids = sorted({one for found in traces.ids.values() for one in found})
    values = {"connection": connection.id, "ids": ids, "pattern": traces.pattern}
    found = [
        (stream, key)
        async for stream, key, source_id, raw in _rows(conn, query, values)
        if traces.names(stream, source_id) or traces.are_in(raw)
    ]
    result = await conn.execute(
        """
        DELETE FROM rejects AS r USING unnest(%s::text[], %s::text[]) AS f (stream, record_key)
        WHERE r.connector_config_id = %s AND (r.stream, r.record_key) = (f.stream, f.record_key)
        """,
        ([one[0] for one in found], [one[1] for one in found], connection.id),
    )
    return result.rowcount


async def _remove_events(
    conn: _Conn, connection: ConnectionSummary, traces: Traces, table: str, key: str
) -> int:
    names = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
    query = sql.SQL(
        "SELECT {key}, body FROM {table} WHERE connection_id = %s AND encode(body, 'escape') ~* %s"
    ).format(**names)
    values = (connection.id, traces.pattern)
    found = [one async for one, body in _rows(conn, query, values) if traces.are_in(body)]
    delete = sql.SQL("DELETE FROM {table} WHERE connection_id = %s AND {key} = ANY(%s)").format(**names)
    return (await conn.execute(delete, (connection.id, found))).rowcount


async def _unified_ids(conn: _Conn, connection: ConnectionSummary, ids: _Ids) -> list[UUID]:
    found: list[UUID] = []
    for stream, of in ids.items():
        rows = await conn.execute(
            "SELECT unified_id FROM suppressed_records"
            " WHERE connector_config_id = %s AND stream = %s AND source_id = ANY(%s)",
            (connection.id, stream, list(of)),
        )
        found += [row[0] for row in await rows.fetchall()]
    return found


async def _empty_routes(conn: _Conn, connection: ConnectionSummary, ids: _Ids) -> Counter[str]:
    """Empty links, and take out pushes and what is proposed for them.

    An update is enough for links: the table's trigger empties what is suppressed (migration 0018).
    """
    counts: Counter[str] = Counter()
    for stream, found in ids.items():
        values = {"connection": connection.id, "stream": stream, "ids": list(found)}
        for side in ("source", "target"):
            names = {
                "connection": sql.Identifier(f"{side}_connection_id"),
                "stream": sql.Identifier(f"{side}_stream"),
            }
            links = sql.SQL(
                """
                UPDATE pushed_records SET updated_at = now()
                WHERE {connection} = %(connection)s AND {id} = ANY(%(ids)s) AND {stream} = %(stream)s
                    AND reason IS DISTINCT FROM 'its person was deleted on request'
                """
            ).format(**names, id=sql.Identifier(f"{side}_id"))
            counts["pushed_records"] += (await conn.execute(links, values)).rowcount
            for statement in (_REMOVE_PUSHES, _ASK_ANEW):
                pushes = sql.SQL(statement).format(**names, side=sql.Literal(side))
                counts["route_outbox"] += (await conn.execute(pushes, values)).rowcount
    return counts


async def _remove_derived(conn: _Conn, person: Person, unified_ids: Iterable[UUID]) -> Counter[str]:
    """Remove rows of derived tables that hold an address, a source id or a ``unified_id`` as a whole value."""
    counts: Counter[str] = Counter()
    ids = {one.source_id for one in person.records if is_distinct(one.source_id)}
    values = {*person.addresses, *ids, *map(str, unified_ids)}
    for table in await derived.tables(conn):
        query = sql.SQL(
            """
            DELETE FROM {} AS t WHERE EXISTS (
                SELECT FROM jsonb_each_text(to_jsonb(t) - 'workspace_id' - 'connection_id') AS e (name, value)
                WHERE lower(e.value) = ANY(%s)
            )
            """
        ).format(sql.Identifier(table))
        counts[table] += (await conn.execute(query, ([one.lower() for one in values],))).rowcount
    return counts


async def _rows(conn: _Conn, query: sql.SQL | sql.Composed, values: Any) -> AsyncIterator[tuple[Any, ...]]:
    """Rows of a query, some hundred in memory at a time."""
    async for rows in _chunks(conn, query, values):
        for row in rows:
            yield row


async def _chunks(
    conn: _Conn, query: sql.SQL | sql.Composed, values: Any
) -> AsyncIterator[list[tuple[Any, ...]]]:
    """The same, those in memory together."""
    async with conn.cursor("rows_to_look_at") as cursor:
        await cursor.execute(query, values)
        while rows := await cursor.fetchmany(_CHUNK):
            yield rows
