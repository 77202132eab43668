"""Counts that are kept: right whatever changes the records, and not counted again while nothing does."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
import pytest

from tests.plans import explained
from unified.schema import UnifiedBase
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import INVOICES
from unified.schema.invoice import UnifiedInvoice
from unified.store.connections import statistics
from unified.store.database import Database
from unified.store.records.counts import kept, quality
from unified.store.records.counts.kept import Kept
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Confirmed, Reject, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


@pytest.fixture
def invoices(stream: StreamKey) -> StreamKey:
    return StreamKey(stream.workspace_id, stream.connection_id, "stripe", INVOICES, "invoices")


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really counted, in order."""
    counted: list[str] = []

    def noted(question: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def ask(*args: Any) -> Any:
            counted.append(question.__name__)
            return await question(*args)

        return ask

    for question in (quality.live_records, quality.unknown_customers):
        monkeypatch.setattr(quality, question.__name__, noted(question))
    return counted


def row(model: type[UnifiedBase], source_id: str, **fields: Any) -> Row:
    identity = {
        "source_system": "stripe",
        "source_id": source_id,
        "unified_id": uuid5(NAMESPACE_URL, source_id),
    }
    record = model.model_validate(identity | {"observed_at": NOW, "synced_at": NOW} | fields)
    return Row.of(record, b"{}", 1)


async def store(database: Database, key: StreamKey, *rows: Row, **more: Any) -> None:
    await batches.commit(database, key, Batch(observed_at=NOW, rows=rows, **more))


async def live(database: Database, key: StreamKey, *, anew: bool = False) -> Kept:
    async with database.workspace(key.workspace_id) as conn:
        return await kept.live_records(conn, key, anew=anew)


async def unknown(database: Database, invoices: StreamKey, customers: StreamKey) -> list[str]:
    async with database.workspace(invoices.workspace_id) as conn:
        return await kept.unknown_customers(conn, invoices, customers, 10)


async def test_a_count_is_kept_until_a_record_changes(
    database: Database, stream: StreamKey, invoices: StreamKey, counts: list[str]
) -> None:
    await store(database, stream, row(UnifiedCustomer, "a"), row(UnifiedCustomer, "b"))
    first = await live(database, stream)
    assert (first.found, first.is_new) == (2, True)
    # Records of other streams, and one that was only seen again, change nothing.
    await store(database, invoices, row(UnifiedInvoice, "i"))
    await store(database, stream, confirmed=[Confirmed("a", 1, LATER)])
    with explained() as plans:
        assert await live(database, stream) == Kept(2, first.version, is_new=False)
    assert plans.explained
    assert plans.lacking == {}
    assert counts == ["live_records"]

    await store(database, stream, deletions=[Deletion("b", LATER, LATER)])
    second = await live(database, stream)
    assert (second.found, second.is_new) == (1, True)
    assert second.version != first.version
    with psycopg.connect(database.url, autocommit=True) as admin:  # by hand
        admin.execute("UPDATE unified_customers SET deleted_at = NULL")
    assert (await live(database, stream)).found == 2
    assert len(counts) == 3


async def test_what_is_committed_while_it_is_counted_is_counted_next_time(
    database: Database, stream: StreamKey
) -> None:
    await store(database, stream, row(UnifiedCustomer, "a"))
    async with database.workspace(stream.workspace_id) as conn:
        await batches.merge(conn, stream, Batch(observed_at=NOW, rows=[row(UnifiedCustomer, "late")]))
        first = await live(database, stream)
        assert first.found == 1
    second = await live(database, stream)
    assert (second.found, second.is_new) == (2, True)
    assert not (await live(database, stream)).is_new


async def test_a_count_made_anew_sees_rows_that_were_removed_by_hand(
    database: Database, stream: StreamKey
) -> None:
    await store(database, stream, row(UnifiedCustomer, "a"), row(UnifiedCustomer, "b"))
    first = await live(database, stream)
    assert await live(database, stream, anew=True) == Kept(2, first.version, is_new=False)
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("DELETE FROM unified_customers WHERE source_id = 'a'")
    found = await live(database, stream, anew=True)
    assert (found.found, found.is_new) == (1, True)
    assert found.version != first.version


async def test_that_no_customer_is_unknown_is_kept_for_both_streams(
    database: Database, stream: StreamKey, invoices: StreamKey, counts: list[str]
) -> None:
    await store(database, stream, row(UnifiedCustomer, "a"))
    await store(database, invoices, row(UnifiedInvoice, "i", customer_id="a"))
    assert await unknown(database, invoices, stream) == []
    assert await unknown(database, invoices, stream) == []
    assert len(counts) == 1
    await store(database, invoices, row(UnifiedInvoice, "j", customer_id="b"))
    assert await unknown(database, invoices, stream) == ["b"]
    assert await unknown(database, invoices, stream) == ["b"], "which, is asked each time"
    await store(database, stream, rejects=[Reject("b", b"{", "no", NOW)])
    assert await unknown(database, invoices, stream) == []
    await store(database, stream, row(UnifiedCustomer, "b"))
    assert await unknown(database, invoices, stream) == []
    assert await unknown(database, invoices, stream) == []
    assert len(counts) == 5


async def test_a_look_in_between_keeps_nothing(
    database: Database, stream: StreamKey, invoices: StreamKey, counts: list[str]
) -> None:
    async def look() -> int:
        async with database.workspace(stream.workspace_id) as conn:
            return await kept.live_now(conn, stream)

    async def listed() -> int:
        async with database.workspace(stream.workspace_id) as conn:
            return (await statistics.live_records(conn, [stream.connection_id]))[stream.connection_id]

    await store(database, stream, row(UnifiedCustomer, "a"))
    assert (await look(), await look(), await listed()) == (1, 1, 1)
    assert counts == ["live_records"] * 2
    await live(database, stream)
    counts.clear()
    assert (await look(), counts) == (1, [])
    await store(database, stream, row(UnifiedCustomer, "b"))
    assert (await look(), counts) == (2, ["live_records"])
    assert await listed() == 1, "as it was counted last"
    assert (await live(database, stream)).is_new
    assert await listed() == 2
    await store(
        database, invoices, row(UnifiedInvoice, "i", total="1", currency="EUR", status="paid"), cursor={}
    )
    assert await listed() == 3, "a stream that nothing has counted yet"
