"""From a change at the source to its row in the table, by webhook, with `unified dev` as shipped.

    uv run --group dev python benchmarks/webhook_latency.py [--quiet 5] [--seconds 40] [--rate 2]

Starts `unified dev` in a home of its own, with one Stripe connection to a stand-in that signs and delivers. First
single changes, each after a quiet time in which the last drain run has ended; then changes at a steady rate. A change
counts from before it is made until another connection to the database sees the row. Prints percentiles of both.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
from rig import DevProcess

from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.sandbox.webhooks import Endpoint
from unified.store.server import embedded

KEY = "sk_test_fake_acme"
SECRET = "whsec_fake_benchmark"  # noqa: S105 - opens nothing
NAME = "default/stripe"
# Longer than a drain run lingers, and the next look of the sensor.
QUIET_SECONDS = 22.0
GIVE_UP_SECONDS = 60.0
LOOK_SECONDS = 0.01


def main() -> None:
    """Measure, and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quiet", type=int, default=5, help="changes after a quiet time")
    arguments.add_argument("--seconds", type=float, default=40, help="of steady traffic")
    arguments.add_argument("--rate", type=float, default=2, help="changes a second of steady traffic")
    options = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxServer(StripeSandbox(20, 20, limits=None)) as sandbox,
    ):
        home = Path(folder)
        os.environ["UNIFIED_HOME"] = folder
        with DevProcess() as dev:
            url = connect(sandbox, dev.webhooks)
            sandbox.stripe.webhooks.add(Endpoint(KEY, url, SECRET))
            try:
                with psycopg.connect(embedded.start(home), autocommit=True) as database:
                    quiet = [after_quiet_time(sandbox, database) for _ in range(options.quiet)]
                    steady = under_traffic(sandbox, database, options.seconds, options.rate)
            finally:
                embedded.leave(home)
    report(f"first change after {QUIET_SECONDS:.0f} s of quiet", quiet)
    report(f"steady, {options.rate:g} changes/s", steady)


def connect(sandbox: SandboxServer, address: str) -> str:
    """Add the connection and its webhook, and load it once; the webhook's URL."""

    def unified(*command: str, **secrets: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "unified.cli", *command],
            env={**os.environ, **secrets},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"unified {' '.join(command)} failed: {done.stderr}")
        return done.stdout

    place = ("--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts")
    unified("connections", "add", "stripe", "stripe", *place, UNIFIED_SECRET_API_KEY=KEY)
    unified("sync", NAME)
    return unified("webhooks", "add", NAME, "--public-url", address, UNIFIED_SECRET_WEBHOOK=SECRET).strip()


def after_quiet_time(sandbox: SandboxServer, database: psycopg.Connection) -> float:
    """Seconds of one change after a pause, of a length that is not in step with anything."""
    time.sleep(QUIET_SECONDS + random.uniform(0, 5))  # noqa: S311 - no secret
    started = time.monotonic()
    seconds = wait_for(database, change(sandbox), started)
    print(f"  {seconds:.2f} s", flush=True)
    return seconds


def under_traffic(
    sandbox: SandboxServer, database: psycopg.Connection, seconds: float, rate: float
) -> list[float]:
    """Seconds of each change at a steady rate, in the order of the changes; the first one wakes a drain."""
    made: list[tuple[str, float]] = []
    begin = time.monotonic()

    def make() -> None:
        for number in range(int(seconds * rate)):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            started = time.monotonic()
            made.append((change(sandbox), started))

    maker = threading.Thread(target=make)
    maker.start()
    seen: dict[str, float] = {}
    while maker.is_alive() or (len(seen) < len(made) and time.monotonic() < made[-1][1] + GIVE_UP_SECONDS):
        waiting = [record for record, _ in made if record not in seen]
        rows = database.execute(
            "SELECT source_id FROM unified_customers WHERE source_id = ANY(%s)", (waiting,)
        ).fetchall()
        now = time.monotonic()
        seen |= {record: now for (record,) in rows}
        time.sleep(LOOK_SECONDS)
    maker.join()
    if missing := len(made) - len(seen):
        sys.exit(f"{missing} of {len(made)} changes did not arrive within {GIVE_UP_SECONDS:.0f} s")
    return [seen[record] - started for record, started in made]


def change(sandbox: SandboxServer) -> str:
    """Make a customer at the source; its id."""
    return str(sandbox.stripe.mutate("create_customer", KEY)["id"])


def wait_for(database: psycopg.Connection, record: str, started: float) -> float:
    """Seconds from ``started`` until a customer is in the table."""
    while not database.execute("SELECT FROM unified_customers WHERE source_id = %s", (record,)).rowcount:
        if time.monotonic() > started + GIVE_UP_SECONDS:
            sys.exit(f"a change did not arrive within {GIVE_UP_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)
    return time.monotonic() - started


def report(what: str, seconds: list[float]) -> None:
    """Print a distribution."""
    if not seconds:
        return
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    print(f"{what}: n={len(seconds)}, p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, max {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
