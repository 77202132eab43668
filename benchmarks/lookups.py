"""How long a route looks for one customer among many, as the app: by id, and by each key.

And how long it takes to store a route that names three of them, whose values are then filled in.

uv run --group dev python benchmarks/lookups.py --customers 1000000
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import psycopg
from rig import postgres

from unified.cli.installation import migrate_database
from unified.schema.conditions import CUSTOM
from unified.schema.entities import CUSTOMERS
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records import lookups
from unified.store.records.tables import StreamKey
from unified.store.routes.routes import Routes
from unified.store.routes.settings import RouteSettings
from unified.store.workspaces import workspaces

ALLOWED_MS = 5.0
LOOKS = 50

_FILL = """
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, name, email, phone, tax_number, custom_fields)
    SELECT %s, %s, 'stripe', 'customers', 'cus_' || lpad(n::text, 8, '0'), gen_random_uuid(), '1.1.0', n,
        now(), now(), true, 'Customer ' || n, 'Ada.' || n || '@Company' || n %% 1000 || '.example',
        '+49 30 ' || lpad(n::text, 8, '0'), 'DE' || lpad(n::text, 9, '0'),
        jsonb_build_object('crm', 'crm-' || n, 'tier', 'gold', 'note', repeat('x', 100))
    FROM generate_series(1, %s) AS n
"""


def main() -> None:
    """Measure each way to look a customer up."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=200_000, help="of one connection")
    options = arguments.parse_args()
    with postgres() as server:
        migrate_database(server.url)
        key = asyncio.run(_prepare(server.url, options.customers))
        asyncio.run(_measure(server.url, key, options.customers))


async def _prepare(url: str, customers: int) -> StreamKey:
    """Customers of one connection, and a route that leads there."""
    async with Database.open(url) as db:
        workspace = await workspaces.create(db, "acme")
        registry = Registry(db)
        target, source = [
            await registry.add_connection(workspace.id, connector, connector)
            for connector in ("stripe", "hubspot")
        ]
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(_FILL.encode(), (workspace.id, target.id, customers))
            conn.execute("VACUUM ANALYZE unified_customers")
        began = time.perf_counter()
        await Routes(db).add(
            "crm", source, target, RouteSettings(match_keys=("phone", "domain_name", f"{CUSTOM}crm"))
        )
        print(f"a route that names three keys is stored in {time.perf_counter() - began:.1f} s")
        return StreamKey(workspace.id, target.id, "stripe", CUSTOMERS, "customers")


async def _measure(url: str, key: StreamKey, customers: int) -> None:
    values: dict[str, Callable[[int], str]] = {
        "email": lambda n: f"ada.{n}@company{n % 1000}.example",
        "phone": lambda n: f"{n:08}",
        "tax_number": lambda n: f"DE{n:09}",
        "domain_name": lambda n: f"company{n % 1000}.example|customer {n}",
        f"{CUSTOM}crm": lambda n: f"crm-{n}",
    }
    print(f"{customers:,} customers; ms a look-up, median and 95 %, {ALLOWED_MS} allowed")
    async with Database.open(url) as db:

        async def by_id(number: int) -> int:
            async with db.workspace(key.workspace_id) as conn:
                return len(await lookups.by_ids(conn, key, [f"cus_{number:08}"]))

        def by_key(name: str) -> Callable[[int], Awaitable[int]]:
            async def look(number: int) -> int:
                async with db.workspace(key.workspace_id) as conn:
                    return len(await lookups.by_key(conn, key, name, [values[name](number)]))

            return look

        for name, look in [("id", by_id), *((name, by_key(name)) for name in values)]:
            times = []
            for turn in range(LOOKS):
                number = 1 + turn * (customers // LOOKS)
                began = time.perf_counter()
                found = await look(number)
                times.append((time.perf_counter() - began) * 1e3)
                assert found == 1, (name, number, found)  # noqa: S101 - or it is not what was to be measured
            median, most = statistics.median(times), sorted(times)[int(LOOKS * 0.95)]
            print(f"{name:18} {median:7.2f} {most:7.2f}{'' if median <= ALLOWED_MS else '  too slow'}")


if __name__ == "__main__":
    main()
