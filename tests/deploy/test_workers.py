"""How the launcher sees a run whose Celery worker is killed: a child of it, all of it, and one that began anew."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dagster import DagsterRun

from tests.waiting import LIMIT_SECONDS

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.long(20),
    pytest.mark.skipif(
        "UNIFIED_CELERY_REQUIRED" not in os.environ,
        reason="starts Redis and workers: set UNIFIED_CELERY_REQUIRED=1, as .ci/run does",
    ),
]


@pytest.fixture
def start(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts a worker, always under the same name."""
    monkeypatch.setenv("UNIFIED_CELERY_BROKER", broker)
    command = [
        sys.executable, "-m", "celery", "-A", "tests.deploy.celery_tasks", "worker", "-Q", "syncs,drains",
        "-n", "one@%h", "--concurrency", "1", "--prefetch-multiplier", "1",
    ]  # fmt: skip
    begun: list[subprocess.Popen[bytes]] = []

    def worker() -> "subprocess.Popen[bytes]":
        quiet = subprocess.DEVNULL
        begun.append(subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True))
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
    broker: str, start: Callable[[], "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
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
