"""How many records a second a subscription delivers to a receiver on loopback, and how soon after their commit.

    uv run --group dev python benchmarks/subscriptions.py --customers 20000

The receiver is a process of its own that answers 204 and reads nothing. First all customers are delivered; then, one
by one, a customer is changed by SQL as a merge does it, while deliveries go on, and the time until it arrives is taken.
At last it is down for a day: all customers change each hour, the subscription is due after each, and memory is looked
at before, at the end of that day, and once all is delivered.
"""

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from records import Filled, filled, wanted

from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.subscriptions.subscriptions import Subscriptions
from unified.sync.subscriptions.deliver import deliver

ALLOWED_SECONDS, ALLOWED_RATE = 2.0, 1_000
CHANGES = 50
HOURS = 24

_RECEIVER = """
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off")
"""


def main() -> None:
    """Fill a database, deliver, and print."""
    options = wanted(__doc__)
    with filled(options.customers) as database:
        with _receiving() as url:
            asyncio.run(_measure(database, url))
        asyncio.run(_be_away(database))


@contextmanager
def _receiving(port: int = 8798) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", _RECEIVER, str(port)])
    try:
        time.sleep(2)
        yield f"http://127.0.0.1:{port}/hooks"
    finally:
        process.terminate()
        process.wait()


async def _measure(database: Filled, url: str) -> None:
    async with Database.open(database.url) as db:
        credentials = CredentialStore(db, LocalKeyProvider(database.keys.split(",")))
        with psycopg.connect(database.url, autocommit=True) as admin:
            workspace = _one(admin, "SELECT workspace_id FROM connector_configs")
            made, _ = await Subscriptions(db, credentials).add(
                workspace, "all", "customers", url, allow_private=True, from_the_start=True
            )
            began, used = time.monotonic(), time.process_time()
            (result,) = await deliver(db, credentials)
            rate = result.taken / (time.monotonic() - began)
            cost = (time.process_time() - used) / result.taken
            print(f"{result.taken:,} delivered, {rate:,.0f} a second; {ALLOWED_RATE:,} are asked for")
            print(f"{1e6 * cost:.0f} µs of this process's time each")
            deliveries = asyncio.create_task(deliver(db, credentials, linger=10))
            waits = [await _changed(admin, made.id, number) for number in range(CHANGES)]
            await deliveries
        print(
            f"from commit to delivery p50 {statistics.median(waits):.2f} s, most {max(waits):.2f} s; "
            f"{ALLOWED_SECONDS:.0f} are allowed"
        )


async def _be_away(database: Filled) -> None:
    """A day without a receiver, hour by hour."""
    async with Database.open(database.url) as db:
        credentials = CredentialStore(db, LocalKeyProvider(database.keys.split(",")))
        with psycopg.connect(database.url, autocommit=True) as admin:
            memory = [_peak_mb()]
            for _ in range(HOURS):
                admin.execute(
                    "UPDATE unified_customers SET changed_xid = pg_current_xact_id(), synced_at = now()"
                )
                admin.execute("UPDATE webhook_subscriptions SET retry_at = now()")
                (result,) = await deliver(db, credentials)
                assert result.error and not result.taken  # noqa: S101, PT018 - it is down
            memory.append(_peak_mb())
            kept = _one(
                admin,
                "SELECT (SELECT count(*) FROM webhook_subscriptions) + (SELECT count(*) FROM undelivered_records)",
            )
            admin.execute("UPDATE webhook_subscriptions SET retry_at = now()")
            with _receiving():
                (result,) = await deliver(db, credentials)
            memory.append(_peak_mb())
    print(f"a day away: {kept} rows kept, then {result.taken:,} delivered at once")
    print(
        f"peak memory before, after the day, after all came: {', '.join(f'{one:.0f}' for one in memory)} MB"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _changed(admin: psycopg.Connection, subscription: UUID, number: int) -> float:
    count = "SELECT delivered FROM webhook_subscriptions WHERE id = %s"
    before = _one(admin, count, subscription)
    admin.execute(
        "UPDATE unified_customers SET changed_xid = pg_current_xact_id(), synced_at = now() WHERE source_id = %s",
        (f"cus_{number + 1:08}",),
    )
    began = time.monotonic()
    while _one(admin, count, subscription) == before:  # noqa: ASYNC110 - another task's commit is looked for
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def _one(admin: psycopg.Connection, statement: str, *values: object) -> Any:
    row = admin.execute(statement.encode(), values).fetchone()
    assert row is not None  # noqa: S101 - there is one
    return row[0]


if __name__ == "__main__":
    main()
