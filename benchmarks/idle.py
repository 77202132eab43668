"""What an installation costs while nothing is due: `unified dev` with many connections.

    uv run --group dev python benchmarks/idle.py [--connections 1000] [--minutes 2]

`unified dev` as shipped, all its processes and PostgreSQL. Printed are CPU seconds a minute by process, sessions that
PostgreSQL opened a second, and how often sensors and schedules ticked.
"""

import argparse
import json
import time
from collections import Counter

import psutil
import psycopg
from fleet import add_partitions, fill
from rig import DevProcess, PostgresServer, installation, opened_sessions

from unified.cli.installation import prepare_dagster, upgrade_dagster
from unified.store.server.urls import beside

# Everything is loaded, and each sensor has ticked for the first time.
_SETTLE_SECONDS = 60.0
_ROLES = {
    "dagster._daemon": "daemon",
    "api grpc": "code server",
    "code-server start": "in front of the code server",
    "processes.webserver": "webserver",
    "unified.cli serve": "webhook server",
    "dagster_dev": "dagster dev",
    "unified dev": "unified dev",
}


def main() -> None:
    """Print what idling takes, as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long to watch")
    options = parser.parse_args()
    with installation() as server:
        fill(server.url, options.connections)
        prepare_dagster(server.url)
        upgrade_dagster()
        add_partitions(server.url)
        print(json.dumps(_watch(server, options.minutes), indent=2))


def _watch(server: PostgresServer, minutes: float) -> dict[str, object]:
    with DevProcess() as dev:
        time.sleep(_SETTLE_SECONDS)
        before, started = _taken(dev.pid, server), time.monotonic()
        opened = opened_sessions(server.url)
        time.sleep(minutes * 60)
        taken = _taken(dev.pid, server) - before
        elapsed = time.monotonic() - started
        opened = opened_sessions(server.url) - opened
    return {
        "cpu_seconds_a_minute": {name: round(taken[name] * 60 / elapsed, 2) for name in sorted(taken)},
        "together": round(taken.total() * 60 / elapsed, 2),
        "sessions_a_second": round(opened / elapsed, 2),
        "ticks_a_minute": _ticks(server.url, elapsed),
    }


def _taken(dev: int, server: PostgresServer) -> Counter[str]:
    """CPU seconds so far, by process."""
    taken: Counter[str] = Counter(PostgreSQL=server.cpu())
    for process in [psutil.Process(dev), *psutil.Process(dev).children(recursive=True)]:
        times = process.cpu_times()
        words = " ".join(process.cmdline())
        role = next((role for word, role in _ROLES.items() if word in words), "other")
        taken[role] += sum((times.user, times.system, times.children_user, times.children_system))
    return taken


def _ticks(url: str, seconds: float) -> dict[str, float]:
    """Ticks a minute by sensor and schedule, of those that ended in the last seconds."""
    with psycopg.connect(beside(url, "unified_dagster")) as dagster:
        bodies = dagster.execute(
            "SELECT tick_body::json ->> 'job_name' FROM job_ticks"
            " WHERE timestamp > now() AT TIME ZONE 'UTC' - make_interval(secs => %s)",
            (seconds,),
        ).fetchall()
    names = Counter(name for (name,) in bodies)
    return {name: round(count * 60 / seconds, 1) for name, count in names.most_common()}


if __name__ == "__main__":
    main()
