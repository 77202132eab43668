"""Questions about stored records that show whether they are all there and right; asked by asset checks.

Each function reads one connection's records through a connection that
:meth:`unified.store.database.Database.workspace` gave.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from unified.kit.declarations import ControlTotal
from unified.kit.decoding import decode_exactly
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS
from unified.schema.money import exponent
from unified.store.plans import avoid_nested_loops
from unified.store.records.raw import forms
from unified.store.records.tables import READ_CHUNK, StreamKey

_TELLING = {CUSTOMERS: "currency", INVOICES: "status", EVENTS: "event_type", RECORDS: "updated_at"}


_READ_SINCE = sql.SQL(
    "connection_id = %(connection)s AND stream = %(stream)s AND {}"
    " AND (%(since)s::timestamptz IS NULL OR synced_at >= %(since)s)"
).format(forms.HAS_RAW)


@dataclass(frozen=True, slots=True)
class Totals:
    """Money of one currency, held against what the raw records state.

    Attributes:
        currency: ISO 4217 code.
        invoices: How many invoices are in it.
        stored: Sum of ``total`` as stored.
        stated: The same sum, computed anew from the raw records.
    """

    currency: str
    invoices: int
    stored: Decimal
    stated: Decimal


async def live_records(conn: AsyncConnection[Any], key: StreamKey) -> int:
    """How many records are stored and not deleted at their source."""
    query = sql.SQL(
        "SELECT count(*) FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s"
        " AND deleted_at IS NULL"
    )
    return await _one(conn, query.format(key.leaf), key.parameters())


async def rejected_only(conn: AsyncConnection[Any], key: StreamKey) -> int:
    """How many records are set aside of which no earlier, live state is stored either."""
    query = sql.SQL(
        """
        SELECT count(*) FROM rejects AS r
        WHERE r.connector_config_id = %(connection)s AND r.stream = %(stream)s AND NOT EXISTS (
            SELECT FROM {} AS t
            WHERE t.workspace_id = r.workspace_id AND t.connection_id = r.connector_config_id
                AND t.stream = r.stream AND t.source_id = r.source_id AND t.deleted_at IS NULL
        )
        """
    )
    await avoid_nested_loops(conn)
    return await _one(conn, query.format(key.leaf), key.parameters())


async def unknown_customers(
    conn: AsyncConnection[Any], invoices: StreamKey, customers: StreamKey, limit: int
) -> list[str]:
    """Source ids of customers that live invoices name and that are not here: not live, deleted or rejected."""
    query = sql.SQL(
        """
        SELECT DISTINCT i.customer_id
        FROM {invoices} AS i
        LEFT JOIN {customers} AS c
            ON c.workspace_id = i.workspace_id AND c.connection_id = i.connection_id AND c.stream = %(stream)s
                AND c.source_id = i.customer_id
        WHERE i.connection_id = %(connection)s AND i.stream = %(invoices)s AND i.deleted_at IS NULL
            AND i.customer_id IS NOT NULL AND c.source_id IS NULL
            AND NOT EXISTS (
                SELECT FROM rejects AS r
                WHERE r.workspace_id = i.workspace_id AND r.connector_config_id = i.connection_id
                    AND r.stream = %(stream)s AND r.source_id = i.customer_id
            )
        LIMIT %(limit)s
        """
    ).format(invoices=invoices.leaf, customers=customers.leaf)
    await avoid_nested_loops(conn)
    values = customers.parameters() | {"invoices": invoices.stream, "limit": limit}
    rows = await (await conn.execute(query, values)).fetchall()
    return [row[0] for row in rows]


async def invoice_totals(
    conn: AsyncConnection[Any],
    key: StreamKey,
    control: ControlTotal,
    *,
    since: datetime | None = None,
) -> list[Totals]:
    """Stored money by currency beside the same money computed from the raw records by another road.

    Args:
        conn: A transaction of the connection's workspace.
        key: Which invoices.
        control: Where a raw invoice states its total.
        since: Only invoices that were read since then; None takes all, and reads every raw record.
    """
    query = sql.SQL(
        """
        SELECT currency, count(*), sum(total), sum(nullif(raw_data #>> %(path)s, '')::numeric), count(raw_compressed)
        FROM {} WHERE {} AND currency IS NOT NULL GROUP BY currency ORDER BY currency
        """
    ).format(key.leaf, _READ_SINCE)
    values = key.parameters() | {"path": list(control.path), "since": since}
    rows = await (await conn.execute(query, values)).fetchall()
    compressed: Mapping[str, Decimal] = {}
    if any(row[-1] for row in rows):
        compressed = await _stated_compressed(conn, key, control, values)
    return [
        Totals(
            currency,
            count,
            stored or Decimal(0),
            ((stated or Decimal(0)) + compressed.get(currency, Decimal(0))).scaleb(
                -_digits(control, currency)
            ),
        )
        for currency, count, stored, stated, _ in rows
    ]


async def _stated_compressed(
    conn: AsyncConnection[Any], key: StreamKey, control: ControlTotal, values: Mapping[str, Any]
) -> dict[str, Decimal]:
    """What compressed raw invoices state, in digits of the provider's, by currency."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    query = sql.SQL(
        "SELECT currency, {} FROM {} WHERE {} AND raw_compressed IS NOT NULL AND currency IS NOT NULL"
    ).format(forms.KEPT, key.leaf, _READ_SINCE)
    async with conn.cursor("compressed") as cursor:
        await cursor.execute(query, values)
        while rows := await cursor.fetchmany(READ_CHUNK):
            bodies = await forms.opened(conn, [kept for _, kept in rows])
            for (currency, _), body in zip(rows, bodies, strict=True):
                stated = decode_exactly(body) if body else None
                for name in control.path:
                    stated = stated.get(name) if isinstance(stated, dict) else None
                if stated not in (None, ""):
                    sums[currency] += Decimal(stated)
    return sums


async def records_by_day(conn: AsyncConnection[Any], key: StreamKey, days: int) -> list[tuple[date, int]]:
    """How many records the source created on each of the last ``days`` days that have any."""
    query = sql.SQL(
        """
        SELECT created_at::date AS day, count(*) FROM {}
        WHERE connection_id = %(connection)s AND stream = %(stream)s AND created_at >= (
            SELECT max(created_at) FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s
        ) - make_interval(days => %(days)s)
        GROUP BY day ORDER BY day
        """
    ).format(key.leaf, key.leaf)
    return await (await conn.execute(query, key.parameters() | {"days": days})).fetchall()


async def newest_records(conn: AsyncConnection[Any], key: StreamKey, limit: int) -> list[dict[str, Any]]:
    """The records that changed last: id, created, deleted, and one column to recognise it by, which names no person."""
    query = sql.SQL(
        "SELECT source_id, created_at, deleted_at, {} FROM {} WHERE connection_id = %(connection)s "
        "AND stream = %(stream)s "
        "ORDER BY synced_at DESC, created_at DESC NULLS LAST, source_id LIMIT %(limit)s"
    ).format(sql.Identifier(_TELLING[key.entity]), key.leaf)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, key.parameters() | {"limit": limit})
        return await cursor.fetchall()


def _digits(control: ControlTotal, currency: str) -> int:
    return 0 if control.minor_units is None else control.minor_units.get(currency, exponent(currency))


async def _one(
    conn: AsyncConnection[Any], query: sql.SQL | sql.Composed, values: Sequence[Any] | Mapping[str, Any]
) -> int:
    row = await (await conn.execute(query, values)).fetchone()
    return int(row[0]) if row else 0
