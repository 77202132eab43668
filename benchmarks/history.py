"""What it costs a merge to keep the states that it replaces: a stream that does beside one that does not, in turn.

    uv run --group dev python benchmarks/history.py

Batches of customers are stored as a sync stores them: all new, all changed (twice), all seen again unchanged.
"""

import argparse
import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from rig import postgres

from unified.cli.installation import migrate_database
from unified.schema import UnifiedCustomer, connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS
from unified.store.connections import changes
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Confirmed, Row
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces

ROWS = 5_000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
RAW = b'{"id": "cus", "day": %d, "padding": "%s"}'


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--batches", type=int, default=20, help=f"of {ROWS:,} customers")
    options = arguments.parse_args()
    with postgres() as server:
        migrate_database(server.url)
        asyncio.run(_measure(server.url, options.batches))


async def _measure(url: str, count: int) -> None:
    async with Database.open(url) as db:
        workspace = await workspaces.create(db, "bench")
        keys = [await _key(db, workspace.id, name) for name in ("without", "with")]
        async with db.workspace(workspace.id) as conn:
            await changes.update(conn, keys[1].connection_id, history=["customers"], actor="bench")
        for day, what in enumerate(("new", "changed", "changed again", "seen again")):
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(count):
                # Each side goes first as often as the other.
                for side in (0, 1) if number % 2 else (1, 0):
                    batch = _batch(keys[side], number, day)
                    began = time.perf_counter()
                    await batches.commit(db, keys[side], batch)
                    times[side].append(time.perf_counter() - began)
            without, with_it = (statistics.median(each) * 1e3 for each in times)
            print(f"{what:14} {without:7.0f} ms without {with_it:7.0f} ms with {with_it / without:6.2f}")


async def _key(db: Database, workspace_id: UUID, name: str) -> StreamKey:
    connection = await Registry(db).add_connection(workspace_id, "stripe", name)
    return StreamKey(workspace_id, connection.id, "stripe", CUSTOMERS, "customers")


def _batch(key: StreamKey, number: int, day: int) -> Batch:
    namespace = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    at = BEGAN + timedelta(days=day)
    ids = [f"cus_{number}_{one}" for one in range(ROWS)]
    if day == 3:
        return Batch(observed_at=at, confirmed=[Confirmed(one, 2, at) for one in ids])
    rows = []
    for one in ids:
        record = UnifiedCustomer(
            source_system="stripe",
            source_id=one,
            unified_id=unified_id(namespace, one),
            observed_at=at,
            synced_at=at,
            email=f"{one}@example.com",
            name=f"Customer {one} of day {day}",
            phone="+1 202 555 0123",
        )
        rows.append(Row.of(record, RAW % (day, b"x" * 800), day))
    return Batch(observed_at=at, rows=rows)


if __name__ == "__main__":
    main()
