"""What was invoiced, by month and currency: sums that are kept, however many invoices there are.

They are added up after a sync that changed invoices, or found that something else did; single invoices are in
`unified.store.lists`.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection, sql

from unified.store.records.tables import StreamKey
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What a workspace's connections invoiced in a month and a currency.

    Attributes:
        month: Its first day, in UTC.
        currency: ISO 4217 code.
        invoices: How many.
        total: Their sum, exact.
    """

    month: date
    currency: str
    invoices: int
    total: Decimal


_FORGET = "DELETE FROM kept_sums WHERE connector_config_id = %(connection)s AND stream = %(stream)s"
# Issued: neither a draft, nor waiting for approval, nor void; what we owe ourselves is not counted.
_KEEP = """
    INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
    SELECT workspace_id, connection_id, stream,
        date_trunc('month', coalesce(issue_date, created_at) AT TIME ZONE 'UTC')::date AS month,
        currency, count(*), sum(total)
    FROM {leaf}
    WHERE connection_id = %(connection)s AND stream = %(stream)s AND deleted_at IS NULL AND kind = 'receivable'
        AND status IN ('open', 'partially_paid', 'paid', 'uncollectible')
        AND coalesce(issue_date, created_at) IS NOT NULL AND currency IS NOT NULL AND total IS NOT NULL
    GROUP BY workspace_id, connection_id, stream, month, currency
"""


async def keep(conn: AsyncConnection[Any], key: StreamKey) -> None:
    """Add up a stream's issued invoices, in place of the sums that were kept.

    Args:
        conn: A transaction of the workspace.
        key: Of invoices.
    """
    await conn.execute(_FORGET, key.parameters())
    await conn.execute(sql.SQL(_KEEP).format(leaf=key.leaf), key.parameters())


async def between(conn: AsyncConnection[Any], first: date, last: date) -> list[Invoiced]:
    """What was invoiced by all connections of a workspace, as their syncs have added it up last.

    Args:
        conn: A transaction of the workspace.
        first: The first month.
        last: The last month, included.

    Returns:
        By currency and month; a month without an invoice in a currency is left out.
    """
    return await fetch(
        conn,
        Invoiced,
        """
        SELECT month, currency, sum(invoices)::bigint AS invoices, sum(total) AS total FROM kept_sums
        WHERE month BETWEEN %(first)s AND %(last)s GROUP BY currency, month ORDER BY currency, month
        """,
        first=first,
        last=last,
    )
