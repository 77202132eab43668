"""The log of changed customers: every change once, none missed, in whatever order they commit."""

from datetime import UTC, datetime
from uuid import uuid4

from unified.schema import UnifiedCustomer
from unified.schema.entities import INVOICES
from unified.store.database import Database
from unified.store.positions import BEGINNING, Position
from unified.store.records import changes
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def batch(content: int, *ids: str) -> Batch:
    rows = []
    for one in ids:
        fields = {"source_system": "stripe", "source_id": one, "unified_id": uuid4()}
        record = UnifiedCustomer(**fields, observed_at=NOW, synced_at=NOW)
        rows.append(Row.of(record, b"{}", content))
    return Batch(observed_at=NOW, rows=rows)


async def read(database: Database, key: StreamKey, after: Position) -> tuple[list[str], Position]:
    async with database.workspace(key.workspace_id) as conn:
        found, position = await changes.read(conn, key.connection_id, key.stream, after, limit=100)
    return [one for change in found for one in change.source_ids], position


async def test_new_changed_and_deleted_customers_are_noted_once(
    database: Database, stream: StreamKey
) -> None:
    await batches.commit(database, stream, batch(1, "a", "b"))
    ids, position = await read(database, stream, BEGINNING)
    assert sorted(ids) == ["a", "b"]
    await batches.commit(database, stream, batch(1, "a", "b"))  # as it is stored already
    assert await read(database, stream, position) == ([], (await read(database, stream, position))[1])
    await batches.commit(database, stream, batch(2, "b"))
    await batches.commit(database, stream, Batch(observed_at=NOW, deletions=[Deletion("a", NOW, NOW)]))
    ids, _ = await read(database, stream, position)
    assert ids == ["b", "a"]
    invoices = StreamKey(stream.workspace_id, stream.connection_id, "stripe", INVOICES, "invoices")
    await batches.commit(database, invoices, Batch(observed_at=NOW, deletions=[Deletion("in_1", NOW, NOW)]))
    assert "in_1" not in (await read(database, stream, BEGINNING))[0]


async def test_what_commits_late_is_not_passed_over(database: Database, stream: StreamKey) -> None:
    async with database.workspace(stream.workspace_id) as slow:
        await batches.merge(slow, stream, batch(1, "early"))
        await batches.commit(database, stream, batch(1, "late"))
        ids, position = await read(database, stream, BEGINNING)
        assert ids == []  # it has to wait for the transaction that began before
        async with database.workspace(stream.workspace_id) as conn:
            horizon = await changes.horizon(conn)
    for after in (position, horizon):
        ids, _ = await read(database, stream, after)
        assert sorted(ids) == ["early", "late"]


async def test_a_great_deletion_is_noted_in_parts(database: Database, stream: StreamKey) -> None:
    ids = [f"c{number}" for number in range(4_500)]
    await batches.commit(database, stream, batch(1, *ids))
    _, position = await read(database, stream, BEGINNING)
    done = Batch(observed_at=datetime.now(UTC), refresh_started_at=datetime.now(UTC), refresh_done=True)
    await batches.commit(database, stream, done)
    async with database.workspace(stream.workspace_id) as conn:
        found, _ = await changes.read(conn, stream.connection_id, stream.stream, position, limit=100)
    assert sorted(one for change in found for one in change.source_ids) == sorted(ids)
    assert max(len(change.source_ids) for change in found) <= 2_000
