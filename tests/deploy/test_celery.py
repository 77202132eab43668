"""Syncs as tasks of real Celery workers: one whose process is killed is noticed, and its connection goes on.

Minutes of waiting for daemons, so it runs where it is asked for: UNIFIED_CELERY_REQUIRED=1, as `.ci/run` sets it.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.conftest import execute
from tests.waiting import LIMIT_SECONDS
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.secrets.keys import generate_key
from unified.store.server.urls import beside

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HELD = 60_000
"""Milliseconds for which the stand-ins hold an answer back while a run is to be under way."""

log = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.long(105),
    pytest.mark.skipif(
        "UNIFIED_CELERY_REQUIRED" not in os.environ, reason="takes minutes: set UNIFIED_CELERY_REQUIRED=1"
    ),
]


class Cluster:
    """A daemon and a worker on a database of their own."""

    def __init__(self, folder: Path, url: str, broker: str) -> None:
        """Make the DAGSTER_HOME and the tables."""
        self.folder = folder
        self.url = url
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "UNIFIED_"))
        }
        self.environment = {
            **own,
            "DATABASE_URL": url,
            "DAGSTER_POSTGRES_URL": dagster_url(url),
            "DAGSTER_HOME": str(folder),
            "UNIFIED_HOME": str(folder),
            "UNIFIED_MASTER_KEYS": generate_key(),
            "UNIFIED_CELERY_BROKER": broker,
            "DAGSTER_GRPC_MAX_WORKERS": "32",
            "PYTHONPATH": str(ROOT),
        }
        ours = (ROOT / "unified_assets" / "dagster.yaml").read_text()
        # As shipped, but for how often the daemon looks.
        quick = ours.replace("poll_interval_seconds: 20", "poll_interval_seconds: 5")
        assert quick != ours
        (folder / "dagster.yaml").write_text(
            quick + (ROOT / "deploy" / "celery" / "launcher.yaml").read_text()
        )

    def unified(self, *arguments: str, **variables: str) -> None:
        done = subprocess.run(
            [str(BIN / "unified"), *arguments],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    @contextmanager
    def running(self, name: str, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A process with its children in a group of their own, for the length of a block."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def worker(self) -> "AbstractContextManager[subprocess.Popen[bytes]]":
        """A worker for all queues; each new one has the former one's name, as a container's has."""
        return self.running(
            "worker", str(BIN / "celery"), "-A", "resources.celery_app", "worker", "-Q", "syncs,drains",
            "-n", "one@%h", "--concurrency", "2", "--prefetch-multiplier", "1",
        )  # fmt: skip

    def until(self, seen: Callable[[], object], *processes: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + LIMIT_SECONDS
        while not seen():
            for process in processes:
                assert process.poll() is None, ended(process, self.folder / "worker.log")
            assert time.monotonic() < end, (self.folder / "daemon.log").read_text()[-4_000:]
            time.sleep(0.2)

    def one(self, statement: str, *values: str, dagster: bool = False) -> object:
        url = self.environment["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "") if dagster else self.url
        with psycopg.connect(url) as conn:
            row = conn.execute(statement.encode(), values).fetchone()
        return row[0] if row else None

    def is_syncing(self, connector: str) -> bool:
        return self.status_of(connector) == "syncing"

    def is_loaded(self, connector: str) -> bool:
        return self.status_of(connector) == "success"

    def status_of(self, connector: str) -> object:
        return self.one("SELECT sync_status FROM connector_configs WHERE connector = %s", connector)


def ended(process: "subprocess.Popen[bytes]", said: Path) -> str:
    """Why a process is gone, for a failed assertion."""
    return f"it ended with {process.poll()}:\n{said.read_text(errors='replace')[-4_000:]}"


def dagster_url(url: str) -> str:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    return beside(url, f"{name}_dagster").replace("://", "+psycopg2://")


@pytest.fixture
def cluster(server_url: str, broker: str, tmp_path: Path) -> Iterator[Cluster]:
    name = f"test_celery_{os.getpid()}"
    made = Cluster(tmp_path, beside(server_url, name), broker)
    made.unified("migrate")
    yield made
    for each in (name, f"{name}_dagster"):
        execute(beside(server_url, "postgres"), f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


def children(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_killed_worker_is_noticed_and_its_connection_goes_on(cluster: Cluster) -> None:
    stripe = StripeSandbox(customers=20, invoices=20, limits=None)
    hubspot = HubSpotSandbox(contacts=20, companies=2, invoices=5, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as sandbox:

        def add(connector: str, **secret: str) -> None:
            where = ("--base-url", f"{sandbox.url}/{connector}", "--allow-private-hosts")
            cluster.unified("connections", "add", connector, connector, *where, **secret)

        with cluster.running("daemon", str(BIN / "dagster-daemon"), "run", "-w", "workspace.yaml"):
            with cluster.worker() as worker:
                add("stripe", UNIFIED_SECRET_API_KEY="sk_test_fake_acme")
                stripe.latency_ms = HELD
                cluster.until(lambda: cluster.is_syncing("stripe"), worker)
                for child in children(worker):
                    child.kill()
                killed = time.monotonic()
                stripe.latency_ms = 0
                cluster.until(lambda: cluster.is_loaded("stripe"), worker)
                log.info("loaded %d s after a child was killed", time.monotonic() - killed)
                add("hubspot", UNIFIED_SECRET_ACCESS_TOKEN="pat-fake-acme")
                hubspot.latency_ms = HELD
                cluster.until(lambda: cluster.is_syncing("hubspot"), worker)
                os.killpg(worker.pid, signal.SIGKILL)
                killed = time.monotonic()
                worker.wait()
                hubspot.latency_ms = 0
            with cluster.worker() as worker:
                cluster.until(lambda: cluster.is_loaded("hubspot"), worker)
                log.info("loaded %d s after a worker was killed", time.monotonic() - killed)
    failed = cluster.one("SELECT count(*) FROM runs WHERE status = 'FAILURE'", dagster=True)
    assert isinstance(failed, int)
    assert failed >= 2
