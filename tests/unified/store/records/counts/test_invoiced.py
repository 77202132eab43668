"""Sums of what was invoiced: exact, of issued invoices alone, and no other workspace's."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.unified.store.records.counts.test_kept import NOW, row, store
from unified.schema.entities import INVOICES
from unified.schema.invoice import UnifiedInvoice
from unified.store.database import Database
from unified.store.records.counts import invoiced
from unified.store.records.counts.invoiced import Invoiced
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
ISSUED = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def invoices(stream: StreamKey) -> StreamKey:
    return StreamKey(stream.workspace_id, stream.connection_id, "stripe", INVOICES, "invoices")


async def kept(database: Database, key: StreamKey) -> list[Invoiced]:
    async with database.workspace(key.workspace_id) as conn:
        await invoiced.keep(conn, key)
        return await invoiced.between(conn, JANUARY, FEBRUARY)


async def test_issued_invoices_are_added_up_by_month_and_currency(
    database: Database, invoices: StreamKey
) -> None:
    def invoice(source_id: str, total: str | None, **fields: Any) -> Any:
        given = {"total": total and Decimal(total), "currency": "EUR", "status": "paid", "issue_date": ISSUED}
        return row(UnifiedInvoice, source_id, **given | fields)

    await store(
        database,
        invoices,
        invoice("a", "99999999999999.10"),
        invoice("b", "0.20", status="open"),
        invoice("c", "5", currency="JPY", status="uncollectible"),
        invoice("d", "7", issue_date=None, created_at=ISSUED + timedelta(minutes=1)),
        invoice("e", "1000", status="draft"),
        invoice("f", "1000", status="void"),
        invoice("g", "1000", kind="payable"),
        invoice("h", None),
        invoice("i", "1000", currency=None),
        invoice("j", "1000", issue_date=ISSUED - timedelta(days=31)),
    )
    january = Invoiced(JANUARY, "EUR", 2, Decimal("99999999999999.30"))
    february = Invoiced(FEBRUARY, "EUR", 1, Decimal(7))
    yen = Invoiced(JANUARY, "JPY", 1, Decimal(5))
    assert await kept(database, invoices) == [january, february, yen]
    later = NOW + timedelta(days=1)
    fresh = invoice("k", "1.5", issue_date=ISSUED + timedelta(days=1))
    await store(database, invoices, fresh, deletions=[Deletion("c", later, later)])
    assert await kept(database, invoices) == [january, Invoiced(FEBRUARY, "EUR", 2, Decimal("8.5"))]
    stranger = await workspaces.create(database, "stranger")
    async with database.workspace(stranger.id) as conn:
        assert await invoiced.between(conn, JANUARY, FEBRUARY) == []
