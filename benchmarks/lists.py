"""How long it takes to look at thousands of connections: commands, pages, the API, ticks.

    uv run --group dev python benchmarks/lists.py [--connections 2000] [--rounds 3]

Each connection has a workspace of its own (`fleet.py`); one workspace has as many again, for what lists a workspace's.
Printed are the least seconds of some rounds, by the clock and of processor time, PostgreSQL's included; the latter say
more on a busy machine. Commands are processes, start included; a tick is the evaluation of the sensor or schedule in a
process that runs already, as in Dagster's code server.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import httpx
import psutil
import psycopg
from fleet import add_partitions, fill
from rig import IngressProcess, installation

from resources import kept
from resources.store import CredentialStoreResource, DatabaseResource
from sensors import watching
from unified.cli.installation import prepare_dagster, upgrade_dagster
from unified.store.secrets.keys import MASTER_KEYS_VARIABLE
from unified_assets.definitions import build_definitions

_CROWDED = """
INSERT INTO workspaces (slug, name) VALUES ('crowded', 'Crowded');
INSERT INTO connector_configs
    (workspace_id, connector, name, sync_status, sync_started_at, last_sync_at, sync_interval_minutes)
SELECT w.id, 'stripe', 'stripe-' || n, 'success', now(), now(), 1440
FROM workspaces AS w CROSS JOIN generate_series(1, {connections}) AS n WHERE w.slug = 'crowded';
INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)
SELECT c.workspace_id, c.id, stream, '{{}}', now(), now() FROM workspaces AS w
JOIN connector_configs AS c ON c.workspace_id = w.id AND w.slug = 'crowded'
CROSS JOIN unnest(ARRAY['customers', 'invoices', 'events']) AS stream;
INSERT INTO identity_state (workspace_id, position, read_at, resolved_at)
SELECT id, pg_current_snapshot(), now(), now() FROM workspaces WHERE slug = 'crowded';
INSERT INTO webhook_configs (workspace_id, connector_config_id, verifier, endpoint_path)
SELECT workspace_id, c.id, 'stripe', 'whk_' || repeat(md5(c.id::text), 2)
FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id WHERE w.slug = 'crowded';
INSERT INTO webhook_inbox (workspace_id, connection_id, event_key, event_type, body)
SELECT workspace_id, connector_config_id, 'evt_' || n, 'customer.updated', '{{}}'
FROM webhook_configs CROSS JOIN generate_series(1, 10) AS n;
INSERT INTO inbox_cursors (workspace_id, connection_id, xid, id)
SELECT workspace_id, connection_id, max(xid), max(id) FROM webhook_inbox GROUP BY workspace_id, connection_id;
"""
_SENSORS = (
    "connections",
    "first_loads",
    "sync_requests",
    "inbox",
    "identities",
    "routes",
    "subscriptions",
    "expiring_credentials",
    "silent_connections",
)


def main() -> None:
    """Print what each look takes, as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with installation() as server:
        # Half of the connections have a workspace each, the other half one together.
        half = options.connections // 2
        fill(server.url, half)
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute(_CROWDED.format(connections=half).encode())
            admin.execute("VACUUM ANALYZE")
        prepare_dagster(server.url)
        upgrade_dagster()
        add_partitions(server.url)
        with _serving(server.url) as ingress:
            looks = {**_commands(), **_requests(ingress), **_ticks()}

            def cpu() -> float:
                own = os.times()
                return server.cpu() + sum(own[:4]) + sum(psutil.Process(ingress.process.pid).cpu_times()[:2])

            for name, look in looks.items():
                print(json.dumps({name: _least(look, options.rounds, cpu)}), flush=True)
            kept.close()


def _least(look: Callable[[], object], rounds: int, cpu: Callable[[], float]) -> dict[str, float]:
    taken = []
    for _ in range(rounds):
        started, before = time.monotonic(), cpu()
        look()
        taken.append((time.monotonic() - started, cpu() - before))
    seconds, processor = (min(values) for values in zip(*taken, strict=True))
    return {"seconds": round(seconds, 2), "cpu": round(processor, 2)}


def _run(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("unified")), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _commands() -> dict[str, Callable[[], object]]:
    commands = ("status",), ("status", "--json"), ("connections", "list"), ("workspaces", "list")
    return {f"unified {' '.join(one)}": (lambda one=one: _run(*one)) for one in commands}  # type: ignore[misc]


@contextmanager
def _serving(url: str) -> Iterator[IngressProcess]:
    log = Path(os.environ["UNIFIED_HOME"], "serve.log")
    server = IngressProcess(url, os.environ[MASTER_KEYS_VARIABLE], log, UNIFIED_PUBLIC_URL="http://127.0.0.1")
    try:
        yield server
    finally:
        server.stop()


def _requests(server: IngressProcess) -> dict[str, Callable[[], object]]:
    """Reads of the crowded workspace over HTTP."""
    base = f"http://127.0.0.1:{server.port}"
    made = _run("tokens", "add", "--workspace", "crowded", "--name", "bench", "--role", "viewer")
    token = re.findall(r"uat_\S+", made)[0]
    client = httpx.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=60)

    def get(path: str) -> None:
        client.get(path).raise_for_status()

    link = _run("sign-in", "crowded", "--public-url", base).strip()
    (csrf,) = re.findall(r'name="csrf" value="([^"]+)"', client.get(link).text)
    client.post(link, data={"csrf": csrf})
    paths = (
        "/api/connectors/configs?limit=100",
        "/api/statistics",
        "/",
        "/connectors",
        "/webhooks",
        "/connectors/build",
    )
    return {f"GET {path}": (lambda path=path: get(path)) for path in paths}  # type: ignore[misc]


def _ticks() -> dict[str, Callable[[], object]]:
    watching.WATCH_SECONDS = 0.0
    defs = build_definitions()
    repository = defs.get_repository_def()
    instance = dg.DagsterInstance.get()
    resources = {"database": DatabaseResource(), "credentials": CredentialStoreResource()}

    def sensor(name: str) -> None:
        with dg.build_sensor_context(
            instance=instance, resources=resources, repository_def=repository
        ) as context:
            defs.resolve_sensor_def(name).evaluate_tick(context)

    def schedule() -> None:
        with dg.build_schedule_context(
            instance=instance, resources=resources, scheduled_execution_time=datetime.now(UTC)
        ) as context:
            defs.resolve_schedule_def("stripe_schedule").evaluate_tick(context)

    sensors = {f"tick of {name}": (lambda name=name: sensor(name)) for name in _SENSORS}  # type: ignore[misc]
    return {**sensors, "tick of stripe_schedule": schedule}


if __name__ == "__main__":
    main()
