"""Several streams of one connection in one table: each keeps its own rows, also where their ids are equal."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.records import read
from unified.schema import UnifiedBase, UnifiedInvoice, connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS, INVOICES, RECORDS, Entity
from unified.store.database import Database
from unified.store.records import cursors, lookups, rejects, tables
from unified.store.records.counts import quality
from unified.store.records.merge import batches, comparing
from unified.store.records.merge.contents import Batch, Confirmed, MergeCounts, Reject, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


def row(key: StreamKey, source_id: str, minute: int = 1, name: str = "x", content_hash: int = 1) -> Row:
    namespace = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    fields: dict[str, Any] = {
        "source_system": key.connector,
        "source_id": source_id,
        "unified_id": unified_id(namespace, source_id),
        "observed_at": at(minute),
        "synced_at": at(minute),
        "name": name,
    }
    record: UnifiedBase = key.entity.model(**fields)
    return Row.of(record, b"{}", content_hash)


async def store(db: Database, key: StreamKey, *rows: Row, minute: int = 1, **rest: Any) -> MergeCounts:
    return await batches.commit(db, key, Batch(observed_at=at(minute), rows=rows, **rest))


async def alive(db: Database, key: StreamKey) -> dict[str, str | None]:
    async with db.workspace(key.workspace_id) as conn:
        return {one.source_id: getattr(one, "name", None) async for one in read(conn, key)}


@pytest.fixture(params=[(CUSTOMERS, "accounts", "contacts"), (RECORDS, "deals", "tickets")], ids=str)
def pair(stream: StreamKey, request: pytest.FixtureRequest) -> tuple[StreamKey, StreamKey]:
    """Two streams of one connection that land in one entity."""
    entity: Entity
    entity, one, other = request.param
    return replace(stream, entity=entity, stream=one), replace(stream, entity=entity, stream=other)


async def test_equal_ids_of_two_streams_are_two_records(
    database: Database, pair: tuple[StreamKey, StreamKey]
) -> None:
    one, other = pair
    assert await store(database, one, row(one, "1", name="ours"), row(one, "2")) == MergeCounts(inserted=2)
    assert await store(database, other, row(other, "1", name="theirs")) == MergeCounts(inserted=1)
    assert await alive(database, one) == {"1": "ours", "2": "x"}
    assert await alive(database, other) == {"1": "theirs"}
    async with database.workspace(one.workspace_id) as conn:
        found = await conn.execute(f"SELECT count(*), count(DISTINCT unified_id) FROM {one.entity.table}")  # noqa: S608
        assert await found.fetchone() == (3, 3)

    assert await store(database, other, row(other, "1", 2, "new", 2), minute=2) == MergeCounts(updated=1)
    gone = await store(database, other, deletions=[Deletion("1", at(3), at(3))], minute=3)
    assert gone == MergeCounts(deleted=1)
    assert await alive(database, one) == {"1": "ours", "2": "x"}
    assert await alive(database, other) == {}


async def test_a_full_refresh_of_one_stream_buries_its_own_rows_alone(
    database: Database, pair: tuple[StreamKey, StreamKey]
) -> None:
    one, other = pair
    await store(database, one, row(one, "kept"), row(one, "gone"))
    await store(database, other, row(other, "kept"), row(other, "gone"))
    done = await store(
        database,
        one,
        minute=5,
        confirmed=[Confirmed("kept", 1, at(5))],
        cursor={"at": 5},
        refresh_started_at=at(4),
        refresh_done=True,
    )
    assert done == MergeCounts(unchanged=1, deleted=1)
    assert set(await alive(database, one)) == {"kept"}
    assert set(await alive(database, other)) == {"kept", "gone"}
    assert await cursors.load(database, other) is None
    # What the one refresh confirmed says nothing about the other stream: its older state may still come late.
    assert await store(database, other, row(other, "kept", 3, "late", 3), minute=3) == MergeCounts(updated=1)


async def test_a_state_seen_again_is_noted_with_its_own_stream(
    database: Database, pair: tuple[StreamKey, StreamKey]
) -> None:
    one, other = pair
    for key in pair:
        await store(database, key, row(key, "1"))
    await store(database, one, confirmed=[Confirmed("1", 1, at(9))], minute=9)
    late = 5
    assert await store(database, one, row(one, "1", late, "late", 2)) == MergeCounts(unchanged=1)
    assert await store(database, other, row(other, "1", late, "late", 2)) == MergeCounts(updated=1)


async def test_what_is_asked_of_a_stream_is_answered_by_its_own_rows(
    database: Database, pair: tuple[StreamKey, StreamKey]
) -> None:
    one, other = pair
    await store(database, one, row(one, "1"), row(one, "2"))
    await store(database, other, row(other, "1", content_hash=7), row(other, "3"))
    await store(database, other, rejects=[Reject("2", b"{", "no", at(2))], minute=2)
    async with database.workspace(one.workspace_id) as conn:
        assert await comparing.known_hashes(conn, one, ["1", "2", "3"]) == {"1": 1, "2": 1}
        assert await comparing.known_hashes(conn, other, ["1", "2", "3"]) == {"1": 7, "3": 1}
        assert [raw.source_id for raw in await tables.read_raw(conn, one)] == ["1", "2"]
        assert [raw.source_id for raw in await tables.read_raw(conn, other, after="1")] == ["3"]
        assert set(await lookups.by_ids(conn, one, ["1", "3"])) == {"1"}
        assert await lookups.ids_after(conn, other, "", limit=10) == ["1", "3"]
        assert await quality.live_records(conn, one) == 2
        assert [each["source_id"] for each in await quality.newest_records(conn, other, 5)] == ["1", "3"]
        assert await rejects.read(conn, one) == []
        assert await quality.rejected_only(conn, other) == 1, "the other stream's record 2 is not this one"
        assert [each.source_id for each in await rejects.read(conn, other)] == ["2"]
    chunks = [rows async for _, rows in tables.read_chunks(database, one, without=["raw_data"])]
    assert sum(map(len, chunks)) == 2


async def test_invoices_look_for_customers_in_the_stream_that_they_name(
    database: Database, stream: StreamKey
) -> None:
    vendors = replace(stream, stream="vendors")
    bills = replace(stream, entity=INVOICES, stream="bills")
    bill = UnifiedInvoice(
        source_system="stripe",
        source_id="b",
        unified_id=uuid4(),
        observed_at=T0,
        synced_at=T0,
        customer_id="1",
    )
    await store(database, bills, Row.of(bill, b"{}", 1))
    await store(database, stream, row(stream, "1"))
    async with database.workspace(stream.workspace_id) as conn:
        assert await quality.unknown_customers(conn, bills, stream, 9) == []
        assert await quality.unknown_customers(conn, bills, vendors, 9) == ["1"]
