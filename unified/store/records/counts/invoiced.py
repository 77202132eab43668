"""What was invoiced, by month and currency: sums that are kept, however many invoices there are.

Whatever changes an invoice moves them in the same transaction, by triggers (migration 0053), so they hold at any time:
each change is a row of ``kept_sums``. Here the rows of a month and a currency are put together, and read. Single
invoices are in `unified.store.lists`.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

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


# Of two at once, one would put aside what the other has just put together.
_LOCK = (
    "SELECT pg_advisory_xact_lock(hashtextextended('sums/' || %(connection)s::text || '/' || %(stream)s, 0))"
)
_TOGETHER = """
    WITH parts AS (
        DELETE FROM kept_sums WHERE connector_config_id = %(connection)s AND stream = %(stream)s
            AND (month, currency) IN (
                SELECT month, currency FROM kept_sums
                WHERE connector_config_id = %(connection)s AND stream = %(stream)s
                GROUP BY month, currency HAVING count(*) > 1
            )
        RETURNING month, currency, invoices, total
    )
    INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
    SELECT %(workspace)s, %(connection)s, %(stream)s, month, currency, sum(invoices), sum(total)
    FROM parts GROUP BY month, currency HAVING sum(invoices) <> 0
"""
# One statement: what is committed meanwhile is in neither, and stays beside it.
_ANEW = """
    WITH former AS (
        DELETE FROM kept_sums WHERE connector_config_id = %(connection)s AND stream = %(stream)s
    )
    INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
    SELECT %(workspace)s, %(connection)s, %(stream)s, month, currency, count(*), sum(total)
    FROM {leaf}
    CROSS JOIN LATERAL issued_in(kind, status, deleted_at, issue_date, created_at, currency, total) AS i (month)
    WHERE connection_id = %(connection)s AND stream = %(stream)s AND month IS NOT NULL
    GROUP BY month, currency
"""


async def put_together(conn: AsyncConnection[Any], key: StreamKey, *, anew: bool = False) -> None:
    """Make one row of the changes of each month and currency.

    Args:
        conn: A transaction of the workspace.
        key: Of invoices.
        anew: Add up all invoices. What somebody did by hand, past the triggers, leaves no trace.
    """
    await conn.execute(_LOCK, key.parameters())
    await conn.execute(sql.SQL(_ANEW if anew else _TOGETHER).format(leaf=key.leaf), key.parameters())


async def forget(conn: AsyncConnection[Any], connection_id: UUID) -> None:
    """Delete the sums of a connection that was removed, after its invoices."""
    await conn.execute("DELETE FROM kept_sums WHERE connector_config_id = %s", (connection_id,))


async def between(conn: AsyncConnection[Any], first: date, last: date) -> list[Invoiced]:
    """What was invoiced by all connections of a workspace.

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
        WHERE month BETWEEN %(first)s AND %(last)s GROUP BY currency, month HAVING sum(invoices) <> 0
        ORDER BY currency, month
        """,
        first=first,
        last=last,
    )
