"""First load and a second run over unchanged data, side by side with dlt.

    uv run --group dev python benchmarks/first_load.py [--records 20000] [--rounds 3]

Both load the same customers and the same invoices, with their lines and raw data, from the same API into the same
PostgreSQL. Ours runs as users run it: the ``unified sync`` command, start of the process included. ``again, full``
reads everything anew, which is what dlt does; ``again`` is what a second sync really is.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import psycopg
from harness import HARNESS, NAME, STREAMS, UNIFIED, environment, fresh_connection, measure, median


def main() -> None:
    """Run the rounds and print medians and ratios."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=20_000, help="customers, and as many invoices")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    bench = measure()
    dlt = [bench.PY, str(HARNESS / "dlt_run.py"), str(options.records), "rest_default", "d_rest_default"]
    sync = [UNIFIED, "sync", NAME, *STREAMS]
    walls: dict[str, list[float]] = {}
    peaks: dict[str, list[float]] = {}

    def run(name: str, command: list[str]) -> None:
        done = bench.run(command, environment())
        if done["rc"]:
            sys.exit(f"{name} failed")
        walls.setdefault(name, []).append(done["wall"])
        peaks.setdefault(name, []).append(done["rss"])

    for _ in range(options.rounds):
        forget_dlt(bench.DSN)
        run("dlt first", dlt)
        run("dlt again", dlt)
        fresh_connection()
        run("unified first", sync)
        run("unified again, full", [*sync, "--full"])
        run("unified again", sync)

    print(f"{'':24}{'seconds':>10}{'peak MB':>10}")
    for name, seconds in walls.items():
        print(f"{name:24}{median(seconds):10}{median(peaks[name]):10.0f}")
    for ours, theirs in (("first", "first"), ("again, full", "again"), ("again", "again")):
        ratio = median(walls[f"dlt {theirs}"]) / median(walls[f"unified {ours}"])
        print(f"dlt {theirs} / unified {ours}: {ratio:.1f}")


def forget_dlt(dsn: str) -> None:
    """Remove what dlt loaded and remembers."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS d_rest_default CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS d_rest_default_staging CASCADE")
    data = Path(os.environ["BENCH_ROOT"]) / "dltdata"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()


if __name__ == "__main__":
    main()
