"""What the resolver of identities knows of each live customer: its keys, kept in step with the unified tables.

Which keys a customer has is decided in `unified.sync.identities`. What is changed here queues every record
whose links that touches; :mod:`unified.store.identities.scopes` works the queue off.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.types.json import set_json_loads

from unified.schema.entities import CUSTOMERS
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.identities import sql as identity_sql
from unified.store.plans import avoid_nested_loops

BATCH_RECORDS = 5_000
_CHANGES = 50
_RULES = 16

Most = Mapping[int, int]
"""How many records may carry a key, by the number of its rule."""


class Customer(NamedTuple):
    """A live customer, as far as it matters to identities; fields as in the unified model."""

    unified_id: UUID
    connection_id: UUID
    source_system: str
    source_id: str
    stream: str
    content_hash: int
    created_at: datetime | None
    updated_at: datetime | None
    observed_at: datetime
    email: str | None
    name: str | None
    phone: str | None
    company: str | None
    kind: str | None
    billing_address: dict[str, Any] | None
    shipping_address: dict[str, Any] | None
    emails: list[str]
    phones: list[str]
    tax_number: str | None
    currency: str | None
    description: str | None
    custom_fields: dict[str, Any]


CUSTOMER_COLUMNS = sql.SQL(", ").join(sql.Identifier("u", name) for name in Customer._fields)


class Keyed(NamedTuple):
    """A customer with its keys.

    Attributes:
        customer: The customer.
        keys: Hashes, the number of their rule in the last four bits.
        name: Hash of its name, for keys that hold only among records of one name.
    """

    customer: Customer
    keys: list[int]
    name: int | None


async def all_ids(db: Database, connection: ConnectionSummary) -> AsyncIterator[list[str]]:
    """The source ids of all of a connection's live customers, some thousand at a time."""
    query = sql.SQL(
        "SELECT source_id FROM {} WHERE connection_id = %s AND source_id > %s AND deleted_at IS NULL"
        " ORDER BY source_id LIMIT %s"
    ).format(sql.Identifier(CUSTOMERS.leaf(connection.connector)))
    after = ""
    while True:
        async with db.workspace(connection.workspace_id) as conn:
            rows = await conn.execute(query, (connection.id, after, BATCH_RECORDS))
            ids = [row[0] for row in await rows.fetchall()]
        if not ids:
            return
        yield ids
        after = ids[-1]


async def changed_ids(db: Database, connection: ConnectionSummary, position: str) -> AsyncIterator[list[str]]:
    """The source ids of what changed in a connection's customers.

    Read from the feed that each commit of a sync or a drain writes. A time or a number would pass over a transaction
    that began early and committed late; a snapshot shows which ones were committed.

    Args:
        db: Where.
        connection: Whose changes.
        position: The snapshot of the database whose changes are read already.

    Yields:
        Up to BATCH_RECORDS ids.
    """
    xid, change_id = "0", 0
    while True:
        async with db.workspace(connection.workspace_id) as conn:
            rows = await conn.execute(
                """
                SELECT xid::text, id, source_ids FROM customer_changes
                WHERE connection_id = %(connection)s AND (xid, id) > (%(xid)s::xid8, %(id)s)
                    AND xid >= pg_snapshot_xmin(%(position)s::pg_snapshot)
                    AND NOT pg_visible_in_snapshot(xid, %(position)s::pg_snapshot)
                ORDER BY xid, id LIMIT %(limit)s
                """,
                {
                    "connection": connection.id,
                    "position": position,
                    "xid": xid,
                    "id": change_id,
                    "limit": _CHANGES,
                },
            )
            found = await rows.fetchall()
        ids = list(dict.fromkeys(source_id for row in found for source_id in row[2]))
        for start in range(0, len(ids), BATCH_RECORDS):
            yield ids[start : start + BATCH_RECORDS]
        if len(found) < _CHANGES:
            return
        xid, change_id, _ = found[-1]


async def read(
    conn: AsyncConnection[Any], connection: ConnectionSummary, ids: Sequence[str], *, unchanged_too: bool
) -> list[Customer]:
    """Those of a connection's customers that are live and, but for ``unchanged_too``, not known in this state.

    The connection stays as it is until the transaction ends. One that is gone has no customers.
    """
    await by_index(conn)
    await conn.execute("SELECT FROM connector_configs WHERE id = %s FOR KEY SHARE", (connection.id,))
    query = sql.SQL(
        """
        SELECT {columns} FROM {leaf} AS u
        LEFT JOIN identity_records AS r ON r.unified_id = u.unified_id
        WHERE u.connection_id = %s AND u.source_id = ANY(%s) AND u.deleted_at IS NULL
            AND (%s OR r.content_hash IS DISTINCT FROM u.content_hash)
        """
    ).format(columns=CUSTOMER_COLUMNS, leaf=sql.Identifier(CUSTOMERS.leaf(connection.connector)))
    return await fetch_customers(conn, query, (connection.id, list(ids), unchanged_too))


async def fetch_customers(
    conn: AsyncConnection[Any], query: sql.Composed, parameters: Sequence[Any]
) -> list[Customer]:
    """The customers that a query of CUSTOMER_COLUMNS finds."""
    async with conn.cursor(binary=True) as cursor:
        set_json_loads(msgspec.json.decode, cursor)  # a fifth of the time that json takes
        await cursor.execute(query, parameters)
        return [Customer._make(row) for row in await cursor.fetchall()]


_TYPES = ("uuid", "uuid", "text", "text", "text", "int8", "int8[]", "int8")


async def store(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    keyed: Sequence[Keyed],
    *,
    most: Most,
    named: Sequence[int],
    is_first: bool,
) -> None:
    """Store customers' keys in place of those they had, and queue all whose links that touches.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        keyed: Customers, each once.
        most: How many records may carry a key.
        named: Numbers of the rules whose keys hold only among records of one name.
        is_first: Whether all of the workspace's records are queued anyway, so that nothing else need be.
    """
    if not keyed:
        return
    parameters = live_parameters(most) | {"workspace": workspace_id, "named": list(named)}
    await _stage(conn, keyed)
    if not is_first:
        await conn.execute(identity_sql.TOUCHED_KEYS)
        await conn.execute(identity_sql.QUEUE_CARRIERS, parameters)
        await conn.execute(identity_sql.FORGET_KEYS)
    await conn.execute(identity_sql.STORE_KEYS, parameters)
    await conn.execute(identity_sql.STORE_RECORDS, parameters)
    await conn.execute(identity_sql.QUEUE_STAGED, parameters)
    if not is_first:
        await conn.execute(identity_sql.QUEUE_CARRIERS, parameters)


async def remove_gone(
    conn: AsyncConnection[Any], connection: ConnectionSummary, ids: Sequence[str] | None, *, most: Most
) -> int:
    """Take out records whose customers are deleted, up to BATCH_RECORDS of them.

    Args:
        conn: A transaction in the connection's workspace.
        connection: Whose records.
        ids: Which of them to look at; None looks at all.
        most: How many records may carry a key.

    Returns:
        How many were taken out.
    """
    leaf = sql.Identifier(CUSTOMERS.leaf(connection.connector))
    which: sql.Composable
    parameters: dict[str, Any] = {"connection": connection.id, "ids": ids, "limit": BATCH_RECORDS}
    if ids is None:
        await avoid_nested_loops(conn)
        which = sql.SQL(
            "NOT EXISTS (SELECT FROM {} AS u WHERE u.connection_id = %(connection)s AND u.source_id = r.source_id"
            " AND u.unified_id = r.unified_id AND u.deleted_at IS NULL)"
        ).format(leaf)
    else:
        await by_index(conn)
        live = sql.SQL(
            "SELECT unified_id FROM {} WHERE connection_id = %(connection)s AND source_id = ANY(%(ids)s)"
            " AND deleted_at IS NULL"
        ).format(leaf)
        rows = await conn.execute(live, parameters)
        parameters["live"] = [row[0] for row in await rows.fetchall()]
        which = sql.SQL("source_id = ANY(%(ids)s) AND unified_id <> ALL(%(live)s::uuid[])")
    await conn.execute(identity_sql.STAGING)
    query = sql.SQL(
        """
        INSERT INTO staged_identity_records (unified_id)
        SELECT unified_id FROM identity_records AS r WHERE connection_id = %(connection)s AND {} LIMIT %(limit)s
        """
    ).format(which)
    found = await conn.execute(query, parameters)
    await conn.execute("SET LOCAL enable_nestloop = on")
    if found.rowcount:
        await _remove_staged(conn, connection.workspace_id, most, all_golden=False)
    return found.rowcount


async def forget(conn: AsyncConnection[Any], workspace_id: UUID, connection_id: UUID) -> None:
    """Take out a connection's records as it is removed, and all golden customers that hold values of theirs.

    Identities that have records of other connections stay; the next run makes their golden customers anew. The
    connection's row is gone already, for which its removal waited: a run that is under way holds it until it has stored
    what it read.
    """
    rows = await conn.execute(
        "SELECT unified_id FROM identity_records WHERE connection_id = %s", (connection_id,)
    )
    await remove(conn, workspace_id, [row[0] for row in await rows.fetchall()])


async def remove(conn: AsyncConnection[Any], workspace_id: UUID, unified_ids: Sequence[UUID]) -> Counter[str]:
    """Take out records for good: their keys, what was decided or found about them, golden customers with their values.

    Identities that have other records stay; the next run makes their golden customers anew.

    Args:
        conn: A transaction of the workspace, which keeps runs from storing these records meanwhile.
        workspace_id: The workspace.
        unified_ids: Which records.

    Returns:
        How many rows of each table went.
    """
    counts: Counter[str] = Counter()
    if not unified_ids:
        return counts
    await conn.execute(identity_sql.STAGING)
    await conn.execute(
        "INSERT INTO staged_identity_records (unified_id) SELECT unnest(%s::uuid[])", (list(unified_ids),)
    )
    for table in ("identity_decisions", "identity_matches"):
        result = await conn.execute(
            f"""
            DELETE FROM {table} WHERE low_id IN (SELECT unified_id FROM staged_identity_records)
                OR high_id IN (SELECT unified_id FROM staged_identity_records)
            """  # noqa: S608 - names from above
        )
        counts[table] = result.rowcount
    # Whichever number of records a rule allows: what is queued too much does no harm.
    most = dict.fromkeys(range(_RULES), 1_000)
    counts["identity_records"] = await _count_staged(conn)
    counts["golden_customers"] = await _remove_staged(conn, workspace_id, most, all_golden=True)
    return counts


async def _count_staged(conn: AsyncConnection[Any]) -> int:
    rows = await conn.execute(
        "SELECT count(*) FROM staged_identity_records JOIN identity_records USING (unified_id)"
    )
    row = await rows.fetchone()
    return int(row[0]) if row else 0


async def _remove_staged(
    conn: AsyncConnection[Any], workspace_id: UUID, most: Most, *, all_golden: bool
) -> int:
    """Remove what is staged; how many golden customers went with it."""
    parameters = live_parameters(most) | {"workspace": workspace_id, "all_golden": all_golden}
    await conn.execute(identity_sql.TOUCHED_KEYS)
    await conn.execute(identity_sql.QUEUE_CARRIERS, parameters)
    await conn.execute(identity_sql.QUEUE_LEFT_BEHIND, parameters)
    await conn.execute(identity_sql.FORGET_KEYS)
    await conn.execute(identity_sql.QUEUE_CARRIERS, parameters)
    golden = await conn.execute(identity_sql.REMOVE_MEMBERS, parameters)
    await conn.execute(identity_sql.REMOVE)
    await conn.execute("TRUNCATE staged_identity_records, touched_identity_keys")
    return golden.rowcount


async def _stage(conn: AsyncConnection[Any], keyed: Sequence[Keyed]) -> None:
    await conn.execute(identity_sql.STAGING)
    async with conn.cursor().copy("COPY staged_identity_records FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_TYPES)
        for customer, keys, name in keyed:
            await copy.write_row((*customer[:6], keys, name))


async def by_index(conn: AsyncConnection[Any]) -> None:
    """Have the transaction read large tables by their indexes, and plan for their size at the time.

    A run looks up some thousand records in tables that it fills itself: their statistics come late, and a plan that was
    made while they were empty reads them from end to end.
    """
    await conn.execute(
        """
        SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off; SET LOCAL enable_hashjoin = off;
        SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_material = off
        """
    )


def live_parameters(most: Most) -> dict[str, Any]:
    """Parameters of those statements of :mod:`unified.store.identities.sql` that look keys up."""
    return {
        "most": [most.get(number, 0) for number in range(_RULES)],
        "look": max(most.values()) + 1,
    }
