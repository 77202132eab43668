"""How the launcher sees runs whose Celery worker or broker is killed, without Dagster's daemon.

Of a worker: a child of it, all of it, and one that began anew. A broker hangs, is killed and comes back empty.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterRun
from dagster._core.launcher import LaunchRunContext
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from tests.deploy.conftest import Redis
from tests.deploy.held_job import held
from tests.waiting import LIMIT_SECONDS
from unified.cli.commands.operation.doctor import _celery

ROOT = Path(__file__).parents[2]

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = [
    pytest.mark.long(40),
    pytest.mark.skipif(
        "UNIFIED_CELERY_REQUIRED" not in os.environ,
        reason="starts Redis and workers: set UNIFIED_CELERY_REQUIRED=1, as .ci/run does",
    ),
]


@pytest.fixture
def start(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a worker, always under the same name; what it logs is in ``worker.log``."""
    monkeypatch.setenv("UNIFIED_CELERY_BROKER", broker)
    command = [
        sys.executable, "-m", "celery", "-A", "tests.deploy.celery_tasks", "worker",
        "-n", "one@%h", "--concurrency", "1", "--prefetch-multiplier", "1", "--without-gossip",
    ]  # fmt: skip
    begun: list[subprocess.Popen[bytes]] = []

    def worker(queues: str = "syncs,drains") -> "subprocess.Popen[bytes]":
        with (tmp_path / "worker.log").open("ab") as log:
            begun.append(
                subprocess.Popen(
                    [*command, "-Q", queues], cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
            )
        return begun[-1]

    yield worker
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_run_whose_worker_is_gone_is_lost(
    broker: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources import celery_runs  # noqa: PLC0415 - Celery, which takes a while to import

    monkeypatch.setattr(celery_runs, "SILENT_SECONDS", 1.0)
    launcher = celery_runs.WatchedCeleryRunLauncher("syncs", broker, broker)

    def run_on(queue: str) -> DagsterRun:
        """A run whose task a worker of that queue has begun."""
        task = launcher.celery.send_task("tests.hold", queue=queue, routing_key=f"{queue}.execute_job")
        until(lambda: task.state == "STARTED")
        run = DagsterRun(job_name="sync", tags={"dagster-celery/task_id": task.id})
        assert launcher.check_run_worker_health(run).status.value == "RUNNING"
        return run

    def is_lost(run: DagsterRun) -> str:
        """Why, once it is said."""
        said: list[str] = []

        def look() -> bool:
            health = launcher.check_run_worker_health(run)
            said.append(health.msg or "")
            return health.status.value == "FAILED"

        until(look)
        return said[-1]

    worker = start()
    run = run_on("drains")
    for child in psutil.Process(worker.pid).children(recursive=True):
        child.kill()
    assert is_lost(run) == "Celery task failed."
    run = run_on("syncs")
    os.killpg(worker.pid, signal.SIGKILL)
    assert "was killed, or its machine is gone" in is_lost(run)
    start()
    other = run_on("syncs")
    assert "was killed" in is_lost(run), "one that began anew under its name does not have it"
    assert launcher.check_run_worker_health(other).status.value == "RUNNING"
    handed_to_nobody = DagsterRun(job_name="sync")
    assert launcher.check_run_worker_health(handed_to_nobody).status.value == "UNKNOWN"


class Runs:
    """Runs of Dagster's that last until they may end, launched as its daemon launches them."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance = instance
        self.launcher: Any = instance.run_launcher
        self.folder = folder

    def new(self) -> str:
        location = RegisteredCodeLocationOrigin("tests")
        made = self.instance.create_run_for_job(
            held,
            run_config={"ops": {"hold": {"config": {"folder": str(self.folder)}}}},
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "tests"), "held"),
            job_code_origin=dg.reconstructable(held).get_python_origin(),
        )
        return made.run_id

    def launch(self, run_id: str) -> None:
        starting = DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, job_name="held")
        self.instance.report_dagster_event(starting, run_id=run_id)
        self.launcher.launch_run(LaunchRunContext(self.run(run_id), workspace=None))

    def run(self, run_id: str) -> DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run

    def status(self, run_id: str) -> str:
        return self.run(run_id).status.value

    def reason(self, run_id: str) -> str:
        """Why it failed."""
        (failure,) = self.instance.all_logs(run_id, of_type=DagsterEventType.RUN_FAILURE)
        return failure.message

    def is_well(self, run_id: str) -> bool:
        return self.launcher.check_run_worker_health(self.run(run_id)).status.value == "RUNNING"

    @contextmanager
    def given_up_at_once(self) -> Iterator[None]:
        """Where nobody has them."""
        with pytest.MonkeyPatch.context() as now:
            now.setattr("resources.celery_runs.SILENT_SECONDS", 0.0)
            yield

    def begun(self) -> list[str]:
        """Once for each time."""
        begun = self.folder / "begun"
        return begun.read_text().split() if begun.exists() else []

    def may_end(self) -> None:
        (self.folder / "may-end").touch()


@pytest.fixture
def runs(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """With the launcher as it is shipped, but for how often it looks and how long it waits."""
    from resources import celery_runs  # noqa: PLC0415 - Celery, which takes a while to import

    monkeypatch.setattr(celery_runs, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(celery_runs, "_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(celery_runs, "SILENT_SECONDS", LIMIT_SECONDS)
    launcher = (ROOT / "deploy" / "celery" / "launcher.yaml").read_text()
    quick = """
    config_source:
      redis_socket_timeout: 0.5
      broker_transport_options: {socket_timeout: 0.5}
"""
    (tmp_path / "dagster.yaml").write_text(f"{launcher}{quick}run_monitoring:\n  enabled: true\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("UNIFIED_CELERY_BROKER", broker)
    with dg.DagsterInstance.get() as instance:
        yield Runs(instance, tmp_path)


# dagster-celery makes its task anew for each run.
@pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered")
def test_a_broker_that_goes_away_and_comes_back_empty(
    redis: Redis,
    runs: Runs,
    start: Start,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start("syncs")
    worker_log = runs.folder / "worker.log"
    first, waiting, late, torn = (runs.new() for _ in range(4))
    runs.launch(first)
    until(lambda: first in runs.begun())
    runs.launch(waiting)
    with runs.given_up_at_once():
        assert [said.message for said in _celery()] == [
            "no worker takes the queue drains; start one (docs/deploy.md)"
        ]
    assert runs.status(waiting) == "STARTING", "the worker's only process is busy"
    asking = runs.launcher.celery.backend.client
    assert asking.llen("syncs") == 1, "any worker may take it"

    redis.process.send_signal(signal.SIGSTOP)
    runs.launch(late)
    assert runs.status(late) == "QUEUED"
    redis.kill()
    assert runs.is_well(first)
    assert not runs.launcher.terminate(first)
    (found,) = _celery()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "resources.celery_runs"]
    for line in (said, found.message):
        assert "the Celery broker redis://:**@127.0.0.1" in line
        assert "tart it, or correct UNIFIED_CELERY_BROKER" in line

    redis.start()
    task = runs.launcher.celery.AsyncResult(runs.run(first).tags["dagster-celery/task_id"])

    def is_found() -> bool:
        assert runs.is_well(first)
        return bool(task.state == "STARTED")

    until(is_found)
    with runs.given_up_at_once():
        until(lambda: runs.status(waiting) == "FAILURE")
    assert "The Celery broker answers again." in caplog.messages
    assert (runs.status(first), runs.status(late)) == ("STARTED", "QUEUED")
    assert "the Celery broker has lost it" in runs.reason(waiting)

    redis.kill()
    runs.may_end()
    until(lambda: "The broker was not told that task" in worker_log.read_text())
    assert runs.status(first) == "SUCCESS"
    redis.start()
    asking.execute_command("CLIENT PAUSE", 600_000, "WRITE")
    runs.launch(torn)
    assert "went away as it was handed the run (Timeout" in runs.reason(torn)
    asking.execute_command("CLIENT UNPAUSE")
    runs.launch(late)
    until(lambda: runs.status(late) == "SUCCESS")
    assert runs.begun() == [first, late]
    assert "Traceback" not in worker_log.read_text()
