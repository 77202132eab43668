"""Sums of what was invoiced: exact, of issued invoices alone, whatever changes them, and no other workspace's."""

import asyncio
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

import psycopg
import pytest

from tests.unified.store.records.counts.test_kept import NOW, row, store
from unified.schema.entities import INVOICES
from unified.schema.invoice import UnifiedInvoice
from unified.store.database import Database
from unified.store.records.counts import invoiced
from unified.store.records.counts.invoiced import Invoiced
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey
from unified.store.rows import fetch
from unified.store.workspaces import workspaces

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
ISSUED = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def invoices(stream: StreamKey) -> StreamKey:
    return StreamKey(stream.workspace_id, stream.connection_id, "stripe", INVOICES, "invoices")


async def kept(
    database: Database, key: StreamKey, first: date = date.min, last: date = date.max
) -> list[Invoiced]:
    async with database.workspace(key.workspace_id) as conn:
        return await invoiced.between(conn, first, last)


async def rows_kept(database: Database, key: StreamKey) -> int:
    async with database.workspace(key.workspace_id) as conn:
        found = await conn.execute(
            "SELECT count(*) FROM kept_sums WHERE connector_config_id = %s", (key.connection_id,)
        )
        return int((await found.fetchone() or (0,))[0])


async def whole(database: Database, key: StreamKey) -> list[Invoiced]:
    """The same, added up from the invoices, in words of its own."""
    query = """
        SELECT date_trunc('month', coalesce(issue_date, created_at), 'UTC')::date AS month, currency,
            count(*) AS invoices, sum(total) AS total
        FROM unified_invoices
        WHERE deleted_at IS NULL AND kind = 'receivable' AND status NOT IN ('draft', 'submitted', 'void')
            AND num_nulls(total, currency, coalesce(issue_date, created_at)) = 0
        GROUP BY 1, 2 ORDER BY 2, 1
    """
    async with database.workspace(key.workspace_id) as conn:
        await conn.execute("SET LOCAL timezone = 'UTC'")
        return await fetch(conn, Invoiced, query)


async def put_together(database: Database, key: StreamKey, *, anew: bool = False) -> None:
    async with database.workspace(key.workspace_id) as conn:
        await invoiced.put_together(conn, key, anew=anew)


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
    assert await kept(database, invoices, JANUARY, FEBRUARY) == [january, february, yen]
    later = NOW + timedelta(days=1)
    fresh = invoice("k", "1.5", issue_date=ISSUED + timedelta(days=1))
    await store(database, invoices, fresh, deletions=[Deletion("c", later, later)])
    expected = [january, Invoiced(FEBRUARY, "EUR", 2, Decimal("8.5"))]
    assert await kept(database, invoices, JANUARY, FEBRUARY) == expected
    stranger = await workspaces.create(database, "stranger")
    async with database.workspace(stranger.id) as conn:
        assert await invoiced.between(conn, JANUARY, FEBRUARY) == []


def counted(source_id: str) -> Row:
    return row(UnifiedInvoice, source_id, total=Decimal(1), currency="EUR", status="paid", issue_date=ISSUED)


def some_invoice(chance: Random, number: int, at: datetime) -> Row:
    """A state of one of a few invoices that may differ in all that says where, and whether, it counts."""
    state = {
        "total": chance.choice([None, *map(Decimal, ("0", "-3.50", "19.99", "99999999999999.99"))]),
        "currency": chance.choice([None, "EUR", "EUR", "JPY"]),
        "status": chance.choice(
            ["draft", "submitted", "open", "paid", "paid", "void", "uncollectible", "partially_paid"]
        ),
        "kind": chance.choice(["receivable", "receivable", "receivable", "payable"]),
        "issue_date": chance.choice([None, ISSUED, ISSUED + timedelta(minutes=2)]),
        "created_at": chance.choice([None, ISSUED - timedelta(days=40)]),
    }
    row_of = row(UnifiedInvoice, f"in_{number}", observed_at=at, **state)
    return row_of._replace(content_hash=chance.getrandbits(62))


@pytest.mark.parametrize("seed", range(3))
async def test_moved_sums_are_the_whole_sum_after_each_step(
    database: Database, invoices: StreamKey, seed: int
) -> None:
    chance, at = Random(seed), NOW  # noqa: S311 - what a test does
    for step in range(40):
        at += timedelta(minutes=1)
        # Now and then a state from before one that is stored, which changes nothing.
        of = at - timedelta(minutes=chance.choice((0, 0, 0, 5)))
        numbers = chance.sample(range(12), chance.randint(1, 6))
        batch: dict[str, Any] = {"rows": [some_invoice(chance, number, of) for number in numbers]}
        match chance.choice(("change", "change", "delete", "refresh", "again", "account", "privacy")):
            case "delete":
                batch["deletions"] = [Deletion(f"in_{one}", of, of) for one in chance.sample(range(14), 4)]
            case "refresh":
                batch |= {"refresh_started_at": of, "refresh_done": True, "cursor": {"at": step}}
            case "again":
                batch["rows"] *= 2
            case "account":
                async with database.workspace(invoices.workspace_id) as conn:
                    await conn.execute(
                        "UPDATE unified_invoices SET deleted_at = now(), is_active = false "
                        "WHERE connection_id = %s AND deleted_at IS NULL",
                        (invoices.connection_id,),
                    )
            case "privacy":
                async with database.workspace(invoices.workspace_id) as conn:
                    await conn.execute(
                        "UPDATE unified_invoices SET memo = NULL, synced_at = now() WHERE connection_id = %s",
                        (invoices.connection_id,),
                    )
        await batches.commit(database, invoices, Batch(observed_at=at, **batch))
        expected = await whole(database, invoices)
        assert await kept(database, invoices) == expected, step
        if chance.random() < 0.3:
            await put_together(database, invoices, anew=chance.random() < 0.3)
            assert await kept(database, invoices) == expected, step
            assert await rows_kept(database, invoices) == len(expected)


async def test_merges_and_putting_together_at_once_lose_no_cent(
    database: Database, invoices: StreamKey
) -> None:
    async def writer(seed: int) -> None:
        chance = Random(seed)  # noqa: S311 - what a test does
        for step in range(12):
            # All begin with the same invoices, of which only one of them can be the first to store each.
            found = [some_invoice(chance, number, NOW + timedelta(minutes=step)) for number in range(12)]
            await batches.commit(database, invoices, Batch(observed_at=NOW, rows=found))

    async def keeper() -> None:
        for number in count():
            await put_together(database, invoices, anew=number % 3 == 0)
            if all(one.done() for one in writing):
                return

    async with asyncio.TaskGroup() as tasks:
        writing = [tasks.create_task(writer(seed)) for seed in range(4)]
        for _ in range(3):
            tasks.create_task(keeper())
    expected = await whole(database, invoices)
    assert await kept(database, invoices) == expected
    await put_together(database, invoices)
    assert await kept(database, invoices) == expected
    assert await rows_kept(database, invoices) == len(expected)


async def test_sums_are_not_put_together_twice_at_once(database: Database, invoices: StreamKey) -> None:
    for number in range(3):
        await store(database, invoices, counted(f"in_{number}"))
    blocked = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with closing(psycopg.connect(database.url, autocommit=True)) as monitor:
        async with database.workspace(invoices.workspace_id) as conn:
            await invoiced.put_together(conn, invoices)
            anew = asyncio.create_task(put_together(database, invoices, anew=True))
            while not monitor.execute(blocked).rowcount:
                assert not anew.done()
                await asyncio.sleep(0.02)
    await anew
    assert await kept(database, invoices) == [Invoiced(JANUARY, "EUR", 3, Decimal(3))]


async def test_what_was_done_past_the_triggers_is_added_up_anew(
    database: Database, invoices: StreamKey
) -> None:
    await store(database, invoices, counted("in_1"))
    wrong = Invoiced(JANUARY, "XTS", 1, Decimal(1))
    async with database.workspace(invoices.workspace_id) as conn:
        await conn.execute(
            "INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total) "
            "VALUES (%s, %s, %s, %s, %s, 1, 1)",
            (invoices.workspace_id, invoices.connection_id, invoices.stream, wrong.month, wrong.currency),
        )
    await put_together(database, invoices)
    assert wrong in await kept(database, invoices)
    await put_together(database, invoices, anew=True)
    assert await kept(database, invoices) == await whole(database, invoices)
