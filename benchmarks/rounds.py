"""CPU of an unchanged scheduled sync of a connection: in a round of many, and by a run of its own.

    uv run --group dev python benchmarks/rounds.py [--connections 100] [--own 3] [--unpooled] [--dev [--picture FILE]]

Connections of one Stripe stand-in are made due, and nothing changes at the source; one is loaded, the others get
what it has. A round syncs all of them; some are then synced by a run of their partition each, a process each, as
every one was before there were rounds. Both are recorded in PostgreSQL, as shipped. Printed are CPU seconds a
connection, of the run's process and of PostgreSQL, sessions that PostgreSQL opened, seconds until all were done,
and the ratio. Dagster's daemon and code server, which start a run, are not in it. ``--unpooled`` measures both once
more with dagster-postgres' storage as it comes, which opens a connection for each call. ``--dev`` does without
comparison: it starts `unified dev` as shipped, makes all due at once, and prints how long that takes and what all
of its processes and PostgreSQL take for it; ``--picture`` keeps what Dagster's UI shows of one of them then.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import yaml
from playwright.sync_api import sync_playwright
from rig import WORKSPACE, DevProcess, PostgresServer, installation, opened_sessions

from unified.cli.installation import migrate_database, prepare_dagster, upgrade_dagster
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records.counts import kept
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.opening import StoredConnections
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import workspaces
from unified.sync.connection import sync_connection

# Everything is loaded, and each sensor has ticked for the first time.
_SETTLE_SECONDS = 60.0
_KEY = "sk_test_fake_acme"
_LOADED = {
    "cursors": "connector_config_id",
    "unified_customers": "connection_id",
    "unified_invoices": "connection_id",
    "unified_events": "connection_id",
    "sync_history": "connector_config_id",
    "kept_counts": "connector_config_id",
}
_EXECUTE = """
import sys
import dagster as dg
from unified_assets.definitions import defs
job, *partition = sys.argv[1:]
with dg.DagsterInstance.get() as instance:
    instance.add_dynamic_partitions("stripe_connections", partition)
    options = {"partition_key": partition[0]} if partition else {}
    assert defs.resolve_job_def(job).execute_in_process(instance=instance, **options).success
"""


def main() -> None:
    """Print what either way takes, as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=100, help="how many a round syncs")
    parser.add_argument("--own", type=int, default=3, help="how many of them have a run of their own")
    parser.add_argument("--unpooled", action="store_true", help="also with dagster-postgres' own storage")
    parser.add_argument("--dev", action="store_true", help="by `unified dev` as shipped, nothing beside it")
    parser.add_argument(
        "--picture", type=Path, help="with --dev: write what Dagster's UI shows of one of them"
    )
    options = parser.parse_args()
    with (
        installation() as server,
        SandboxServer(stripe=StripeSandbox(customers=200, invoices=200, limits=None)) as sandbox,
    ):
        migrate_database(server.url)
        prepare_dagster(server.url)
        upgrade_dagster()
        names = [f"stripe-{number}" for number in range(options.connections)]
        asyncio.run(_load(f"{sandbox.url}/stripe", names))
        _copy_loaded(server.url)
        if options.dev:
            print(json.dumps(_by_dev(server, names, options.picture), indent=2))
            return
        outcome = {"pooled": _compare(server, names, options.own)}
        if options.unpooled:
            _take_stock_storage()
            outcome["unpooled"] = _compare(server, names, options.own)
    print(json.dumps(outcome, indent=2))


def _compare(server: PostgresServer, names: Sequence[str], own: int) -> dict[str, Any]:
    """A round of all connections beside runs of some of them."""
    _make_due(server.url)
    together = _measure(server, [["stripe_round"]], len(names))
    apart = _measure(server, [["stripe_sync", f"{WORKSPACE}/{name}"] for name in names[:own]], own)
    return {"round": together, "own": apart, "ratio": round(apart["cpu"] / together["cpu"], 1)}


def _by_dev(server: PostgresServer, names: Sequence[str], picture: Path | None) -> dict[str, float]:
    """All connections due at once, and `unified dev` left to it; what the UI shows of the last one as a picture."""
    with DevProcess() as dev, psycopg.connect(server.url, autocommit=True) as conn:
        time.sleep(_SETTLE_SECONDS)
        before, started = dev.cpu() + server.cpu(), time.monotonic()
        _make_due(server.url)
        waiting = len(names)
        while waiting:
            time.sleep(1)
            # `_make_due` dated the last sync two hours back; one that has begun since, and succeeded, is done.
            (waiting,) = conn.execute(
                "SELECT count(*) FROM connector_configs"
                " WHERE sync_status <> 'success' OR sync_started_at < now() - interval '1 hour'"
            ).fetchone() or (0,)
        seconds, cpu = time.monotonic() - started, dev.cpu() + server.cpu() - before
        if picture is not None:
            _draw(dev.url, f"{WORKSPACE}/{names[-1]}", picture)
    return {"connections": len(names), "seconds": round(seconds, 1), "cpu": round(cpu / len(names), 3)}


def _draw(dagster: str, partition: str, picture: Path) -> None:
    """What Dagster's UI shows of one connection's syncs."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=shutil.which("chromium")) as browser,
    ):
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(300_000)
        page.goto(f"{dagster}/assets/stripe/customers?view=events&partition={quote(partition, safe='')}")
        page.get_by_text(partition).first.wait_for()
        page.screenshot(path=picture)


def _take_stock_storage() -> None:
    """Have the instance use dagster-postgres' storage as it comes, in the same database."""
    file = Path(os.environ["DAGSTER_HOME"], "dagster.yaml")
    settings = yaml.safe_load(file.read_text())
    settings["storage"] = {"postgres": settings["storage"]["custom"]["config"]}
    file.write_text(yaml.safe_dump(settings))


async def _load(base_url: str, names: Sequence[str]) -> None:
    async with Database.open() as db:
        registry, credentials = Registry(db), CredentialStore(db, load_provider())
        factory = AdapterFactory(StoredConnections(registry, credentials, actor="bench"))
        workspace = await workspaces.create(db, WORKSPACE)
        settings = {"base_url": base_url, "allow_private_hosts": True}
        connections = [
            await registry.add_connection(workspace.id, "stripe", name, settings) for name in names
        ]
        for connection in connections:
            await credentials.put(workspace.id, connection.id, "api_key", {"api_key": Secret(_KEY)})
        first, adapter = connections[0], get_adapter("stripe")
        await sync_connection(db, factory, first)
        async with db.workspace(workspace.id) as conn:
            for stream in adapter.streams:  # or the first round would draw each connection's records
                await kept.live_records(conn, StreamKey.of(first, stream))


def _copy_loaded(url: str) -> None:
    """Give all connections the records and cursors of the one that was loaded."""
    with psycopg.connect(url, autocommit=True) as conn:
        for table, column in _LOADED.items():
            rows = conn.execute(
                "SELECT quote_ident(column_name) FROM information_schema.columns"
                " WHERE table_name = %s AND column_name NOT IN ('id', %s) AND is_generated = 'NEVER'",
                (table, column),
            ).fetchall()
            columns = ", ".join(name for (name,) in rows)
            statement = f"""
                INSERT INTO {table} ({column}, {columns})
                SELECT c.id, {", ".join(f"t.{name}" for (name,) in rows)}
                FROM {table} AS t JOIN connector_configs AS c ON c.id <> t.{column}
            """  # noqa: S608 - names of tables and columns
            conn.execute(statement.encode())
        conn.execute("VACUUM ANALYZE")


def _make_due(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("UPDATE connector_configs SET sync_started_at = now() - interval '2 hours'")


def _measure(server: PostgresServer, runs: Sequence[Sequence[str]], connections: int) -> dict[str, float]:
    """Execute runs one after the other; what they took a connection.

    Raises:
        RuntimeError: If not all connections were synced.
    """
    before = _children(), server.cpu(), opened_sessions(server.url), time.monotonic()
    for arguments in runs:
        subprocess.run([sys.executable, "-c", _EXECUTE, *arguments], check=True, stderr=subprocess.DEVNULL)
    after = _children(), server.cpu(), opened_sessions(server.url), time.monotonic()
    with psycopg.connect(server.url) as conn:
        (synced,) = conn.execute(
            "SELECT count(*) FROM connector_configs WHERE sync_status = 'success'"
            " AND last_sync_at > now() - make_interval(secs => %s)",
            (after[-1] - before[-1],),
        ).fetchone() or (0,)
    if synced != connections:
        msg = f"{synced} of {connections} connections were synced"
        raise RuntimeError(msg)
    process, postgres, sessions, seconds = (now - then for now, then in zip(after, before, strict=True))
    return {
        "process": round(process / connections, 3),
        "postgres": round(postgres / connections, 3),
        "cpu": round((process + postgres) / connections, 3),
        "sessions": round(sessions / connections, 1),
        "seconds": round(seconds, 1),
    }


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
