"""Questions about stored records, asked of records that are known."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from unified.kit.declarations import ControlTotal
from unified.schema.base import UnifiedBase
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import INVOICES
from unified.schema.invoice import UnifiedInvoice
from unified.store.connections import statistics
from unified.store.database import Database
from unified.store.records.counts import quality
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Reject, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IN_CENTS = ControlTotal(("total",), {"JPY": 0})
AS_DECIMAL = ControlTotal(("properties", "amount"))


@pytest.fixture
def invoices(stream: StreamKey) -> StreamKey:
    return StreamKey(stream.workspace_id, stream.connection_id, "stripe", INVOICES, "invoices")


def row(model: type[UnifiedBase], source_id: str, raw: bytes = b"{}", **fields: Any) -> Row:
    identity = {
        "source_system": "stripe",
        "source_id": source_id,
        "unified_id": uuid5(NAMESPACE_URL, source_id),
    }
    return Row.of(model.model_validate(identity | {"observed_at": NOW, "synced_at": NOW} | fields), raw, 1)


async def store(database: Database, key: StreamKey, *rows: Row, **more: Any) -> None:
    await batches.commit(database, key, Batch(observed_at=NOW, rows=rows, **more))


async def ask(database: Database, key: StreamKey, question: Any, *values: Any) -> Any:
    async with database.workspace(key.workspace_id) as conn:
        return await question(conn, *values)


async def test_live_and_rejected_records_are_counted_once(database: Database, stream: StreamKey) -> None:
    await store(database, stream, *(row(UnifiedCustomer, name) for name in ("a", "b", "gone")))
    await store(database, stream, deletions=[Deletion("gone", NOW, NOW + timedelta(seconds=1))])
    spoilt = [Reject(name, b"{", "no", NOW) for name in ("b", "c", None)]
    await store(database, stream, rejects=spoilt)
    assert await ask(database, stream, quality.live_records, stream) == 2
    assert await ask(database, stream, statistics.rejects_by_stream, stream.connection_id) == {
        stream.stream: 3
    }
    assert await ask(database, stream, quality.rejected_only, stream) == 2


async def test_unknown_customers_are_those_that_nothing_is_known_of(
    database: Database, stream: StreamKey, invoices: StreamKey
) -> None:
    await store(
        database,
        stream,
        row(UnifiedCustomer, "live"),
        deletions=[Deletion("dead", NOW, NOW)],
        keep_unknown=True,
    )
    await store(database, stream, rejects=[Reject("rejected", b"{", "no", NOW)])
    names = ("live", "dead", "rejected", "unknown", None)
    await store(database, invoices, *(row(UnifiedInvoice, f"i{name}", customer_id=name) for name in names))
    assert await ask(database, stream, quality.unknown_customers, invoices, stream, 10) == ["unknown"]
    gone = [Deletion("iunknown", NOW, NOW + timedelta(seconds=1))]
    await store(database, invoices, deletions=gone)
    assert await ask(database, stream, quality.unknown_customers, invoices, stream, 10) == []


@pytest.mark.parametrize(
    ("control", "raws"),
    [
        (IN_CENTS, [b'{"total": 1050}', b'{"total": -50}', b'{"total": 7}', b'{"total": null}']),
        (
            AS_DECIMAL,
            [
                b'{"properties": {"amount": "10.50"}}',
                b'{"properties": {"amount": "-0.5"}}',
                b'{"properties": {"amount": "7"}}',
                b'{"properties": {"amount": ""}}',
            ],
        ),
    ],
)
async def test_stored_money_is_held_against_the_raw_records(
    database: Database, invoices: StreamKey, control: ControlTotal, raws: list[bytes]
) -> None:
    amounts = [("EUR", Decimal("10.50")), ("EUR", Decimal("-0.50")), ("JPY", Decimal(7)), ("EUR", None)]
    rows = [
        row(UnifiedInvoice, f"i{place}", raw, currency=currency, total=total)
        for place, (raw, (currency, total)) in enumerate(zip(raws, amounts, strict=True))
    ]
    await store(database, invoices, *rows)
    question = (quality.invoice_totals, invoices, control)
    euros, yen = await ask(database, invoices, *question)
    assert (euros.currency, euros.invoices, euros.stored, euros.stated) == (
        "EUR",
        3,
        Decimal(10),
        Decimal(10),
    )
    assert (yen.stored, yen.stated) == (Decimal(7), Decimal(7))
    async with database.workspace(invoices.workspace_id) as conn:
        await conn.execute("UPDATE unified_invoices SET total = total + 0.01 WHERE source_id = 'i0'")
    euros, _ = await ask(database, invoices, *question)
    assert euros.stored - euros.stated == Decimal("0.01")


async def test_money_of_a_raw_record_with_an_escaped_nul_is_read_too(
    database: Database, invoices: StreamKey
) -> None:
    notes = (rb"\u0000", rb"a\u0000\u0000b", rb"\\u0000", rb"\\\u0000")
    rows = [
        row(
            UnifiedInvoice,
            f"i{place}",
            b'{"note": "%s", "total": 100}' % note,
            currency="EUR",
            total=Decimal(1),
        )
        for place, note in enumerate(notes)
    ]
    await store(database, invoices, *rows)
    (euros,) = await ask(database, invoices, quality.invoice_totals, invoices, IN_CENTS)
    assert (euros.invoices, euros.stated) == (len(notes), Decimal(len(notes)))


async def test_records_by_day_and_the_newest(database: Database, stream: StreamKey) -> None:
    days = [NOW, NOW, NOW - timedelta(days=2), NOW - timedelta(days=50)]
    rows = [
        row(UnifiedCustomer, f"c{place}", created_at=at, email="a@example.com")
        for place, at in enumerate(days)
    ]
    await store(database, stream, *rows)
    by_day = await ask(database, stream, quality.records_by_day, stream, 30)
    assert by_day == [(date(2026, 2, 27), 1), (date(2026, 3, 1), 2)]
    newest = await ask(database, stream, quality.newest_records, stream, 1)
    assert newest == [{"source_id": "c0", "created_at": NOW, "deleted_at": None, "currency": None}]
