"""What the order of changes costs a merge: its index and its trigger, against the same tables without them, in turn.

    uv run --group dev python benchmarks/change_order.py

Batches of customers are stored as a sync stores them: all new, all changed, all seen again unchanged.
"""

import argparse
import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from rig import postgres

from unified.cli.installation import migrate_database
from unified.schema import UnifiedCustomer, connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Confirmed, Row
from unified.store.records.tables import StreamKey
from unified.store.server.urls import beside
from unified.store.workspaces import workspaces

ROWS = 5_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RAW = b'{"id": "cus", "padding": "%s"}' % (b"x" * 800)

_WITHOUT = """
    DROP INDEX unified_customers_by_change;
    DROP TRIGGER moved_to_end ON unified_customers;
"""


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--batches", type=int, default=20, help=f"of {ROWS:,} customers")
    options = arguments.parse_args()
    with postgres() as server:
        urls = [server.url, beside(server.url, "without")]
        for url in urls:
            migrate_database(url)
        with psycopg.connect(urls[1], autocommit=True) as admin:
            admin.execute(_WITHOUT)
        asyncio.run(_measure(urls, options.batches))


async def _measure(urls: list[str], count: int) -> None:
    async with Database.open(urls[0]) as one, Database.open(urls[1]) as other:
        sides = [(db, await _key(db)) for db in (one, other)]
        for what, days in (("new", 0), ("changed", 1), ("seen again", 2)):
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(count):
                # Each side goes first as often as the other.
                for side in (0, 1) if number % 2 else (1, 0):
                    db, key = sides[side]
                    batch = _batch(key, number, days)
                    began = time.perf_counter()
                    await batches.commit(db, key, batch)
                    times[side].append(time.perf_counter() - began)
            with_it, without = (statistics.median(each) * 1e3 for each in times)
            print(f"{what:12} {without:7.0f} ms without {with_it:7.0f} ms with {with_it / without:6.2f}")


async def _key(db: Database) -> StreamKey:
    workspace = await workspaces.create(db, "bench")
    connection = await Registry(db).add_connection(workspace.id, "stripe", "main")
    return StreamKey(workspace.id, connection.id, "stripe", CUSTOMERS, "customers")


def _batch(key: StreamKey, number: int, days: int) -> Batch:
    observed = BEGAN + timedelta(days=days)
    ids = [f"cus_{number * ROWS + place:08}" for place in range(ROWS)]
    if days == 2:
        return Batch(
            observed_at=observed, confirmed=[Confirmed(one, hash((one, 1)), observed) for one in ids]
        )
    place = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    return Batch(observed_at=observed, rows=[_row(place, one, days, observed) for one in ids])


def _row(place: UUID, source_id: str, days: int, observed: datetime) -> Row:
    customer = UnifiedCustomer(
        source_system="stripe",
        source_id=source_id,
        unified_id=unified_id(place, source_id),
        observed_at=observed,
        synced_at=observed,
        name=f"Customer {source_id} {days}",
        email=f"{source_id}@example.com",
        currency="EUR",
    )
    return Row.of(customer, RAW, hash((source_id, days)))


if __name__ == "__main__":
    main()
