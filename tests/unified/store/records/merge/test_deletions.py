"""Deletions within a commit: when a record counts as deleted, what is kept of one never stored, what a merge moves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from unified.schema import UnifiedCustomer, UnifiedInvoice
from unified.schema.entities import INVOICES
from unified.store.database import Database
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, MergeCounts, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

T0 = datetime(2026, 10, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return T0 + timedelta(days=day)


def customer(source_id: str, day: int) -> Row:
    record = UnifiedCustomer(
        source_system="stripe",
        source_id=source_id,
        unified_id=uuid4(),
        observed_at=at(day),
        synced_at=at(day),
    )
    return Row.of(record, b"{}", day)


def invoice(source_id: str, customer_id: str, day: int = 1) -> Row:
    record = UnifiedInvoice(
        source_system="stripe",
        source_id=source_id,
        unified_id=uuid4(),
        observed_at=at(day),
        synced_at=at(day),
        customer_id=customer_id,
    )
    return Row.of(record, b"{}", day)


async def commit(database: Database, key: StreamKey, *items: Row | Deletion, **rest: Any) -> MergeCounts:
    batch = Batch(
        observed_at=at(100),
        rows=[item for item in items if isinstance(item, Row)],
        deletions=[item for item in items if isinstance(item, Deletion)],
        **rest,
    )
    return await batches.commit(database, key, batch)


async def ask(database: Database, key: StreamKey, query: str) -> dict[str, Any]:
    async with database.workspace(key.workspace_id) as conn:
        return dict(await (await conn.execute(query.encode())).fetchall())


async def deaths(database: Database, key: StreamKey) -> dict[str, datetime | None]:
    return await ask(database, key, "SELECT source_id, deleted_at FROM unified_customers")


async def owners(database: Database, key: StreamKey) -> dict[str, str]:
    return await ask(database, key, "SELECT source_id, customer_id FROM unified_invoices")


async def noted(database: Database, key: StreamKey) -> int:
    async with database.workspace(key.workspace_id) as conn:
        return (await conn.execute("SELECT FROM customer_changes")).rowcount


@pytest.fixture
def invoices(stream: StreamKey) -> StreamKey:
    """Invoices of the same connection."""
    return replace(stream, entity=INVOICES, stream="invoices")


async def test_the_time_of_a_deletion_is_the_one_said_first(database: Database, stream: StreamKey) -> None:
    await commit(database, stream, customer("a", 1))
    assert await commit(database, stream, Deletion("a", at(2), at(2))) == MergeCounts(deleted=1)
    changes = await noted(database, stream)
    for day in (3, 9, 5):
        assert await commit(database, stream, Deletion("a", at(day), at(day))) == MergeCounts()
    assert await deaths(database, stream) == {"a": at(2)}
    assert await noted(database, stream) == changes
    # It is known up to the ninth day, so a state of the seventh brings nothing back, one of the tenth does.
    await commit(database, stream, customer("a", 7))
    assert await deaths(database, stream) == {"a": at(2)}
    await commit(database, stream, customer("a", 10))
    assert await deaths(database, stream) == {"a": None}
    await commit(database, stream, Deletion("a", at(12), at(12)))
    assert await deaths(database, stream) == {"a": at(12)}


async def test_one_batch_may_say_it_several_times(database: Database, stream: StreamKey) -> None:
    await commit(database, stream, customer("a", 1))
    said = (Deletion("a", at(6), at(6)), Deletion("a", at(2), at(5), "b"), Deletion("a", at(7), at(7)))
    assert await commit(database, stream, *said) == MergeCounts(deleted=1)
    assert await deaths(database, stream) == {"a": at(2)}


async def test_what_was_never_stored_gets_no_row(database: Database, stream: StreamKey) -> None:
    for day in (4, 6):
        assert await commit(database, stream, Deletion("a", at(day), at(day))) == MergeCounts()
    assert await deaths(database, stream) == {}
    # A state from before comes late: it is stored, and as deleted.
    assert await commit(database, stream, customer("a", 5)) == MergeCounts(inserted=1)
    assert await deaths(database, stream) == {"a": at(4)}
    await commit(database, stream, Deletion("b", at(4), at(4)))
    assert await commit(database, stream, customer("b", 5)) == MergeCounts(inserted=1)
    assert (await deaths(database, stream))["b"] is None


async def test_a_row_for_what_was_never_stored_where_something_names_it(
    database: Database, stream: StreamKey
) -> None:
    assert await commit(database, stream, Deletion("a", at(2), at(2)), keep_unknown=True) == MergeCounts()
    assert await deaths(database, stream) == {"a": at(2)}


async def test_a_refresh_forgets_deletions_from_before_it_began(
    database: Database, stream: StreamKey
) -> None:
    await commit(database, stream, Deletion("a", at(2), at(2)), Deletion("b", at(9), at(9)))
    await commit(database, stream, cursor={}, refresh_started_at=at(5), refresh_done=True)
    assert await ask(database, stream, "SELECT source_id, deleted_at FROM unknown_deletions") == {"b": at(9)}


@pytest.mark.parametrize("late", [False, True])
async def test_a_merge_moves_the_invoices(
    database: Database, stream: StreamKey, invoices: StreamKey, *, late: bool
) -> None:
    """Also those that are read afterwards, in a state from before the merge."""
    bills = (invoice("i1", "a"), invoice("i2", "b"), invoice("i3", "never"), invoice("i4", "other"))
    await commit(database, stream, customer("a", 1), customer("b", 1), customer("other", 1))
    if not late:
        await commit(database, invoices, *bills)
    gone = [Deletion(one, at(2), at(2), "c") for one in ("a", "b", "never")]
    await commit(database, stream, customer("c", 2), *gone)
    if late:
        await commit(database, invoices, *bills)
    assert await owners(database, invoices) == {"i1": "c", "i2": "c", "i3": "c", "i4": "other"}
    assert (await deaths(database, stream)).keys() == {"a", "b", "c", "other"}


async def test_a_winner_that_is_merged_itself_takes_its_invoices_along(
    database: Database, stream: StreamKey, invoices: StreamKey
) -> None:
    await commit(database, stream, *(customer(one, 1) for one in "abc"))
    await commit(database, invoices, invoice("i1", "a"), invoice("i2", "b"))
    await commit(database, stream, Deletion("a", at(2), at(2), "b"))
    await commit(database, stream, Deletion("b", at(3), at(3), "c"))
    assert await owners(database, invoices) == {"i1": "c", "i2": "c"}
    # What says the first merge again changes nothing, nor does one in a circle.
    await commit(database, stream, Deletion("a", at(2), at(4), "b"), Deletion("c", at(5), at(5), "a"))
    await commit(database, invoices, invoice("i3", "a", 6))
    assert await owners(database, invoices) == {"i1": "c", "i2": "c", "i3": "c"}


async def test_other_connections_keep_theirs(
    database: Database, stream: StreamKey, invoices: StreamKey
) -> None:
    async with database.workspace(stream.workspace_id) as conn:
        other = uuid4()
        await conn.execute(
            "INSERT INTO connector_configs (id, workspace_id, connector, name) VALUES (%s, %s, 'stripe', %s)",
            (other, stream.workspace_id, f"o{other.hex[:8]}"),
        )
    theirs = replace(invoices, connection_id=other)
    await commit(database, theirs, invoice("i9", "a"))
    await commit(database, stream, customer("a", 1), Deletion("a", at(2), at(2), "b"))
    assert await owners(database, invoices) == {"i9": "a"}
