"""Runs as Celery tasks whose worker is watched, as `deploy/celery/launcher.yaml` asks for. Needs the extra `celery`.

dagster-celery believes the result backend, where the task of a worker that was killed as a whole stays STARTED for
ever, and with it the run, and its connection (https://github.com/dagster-io/dagster/issues/33493). Here the worker that
has begun a task is asked whether it still has it. The app that workers run is :mod:`resources.celery_app`.
"""

import time
from typing import Any

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus  # how a launcher says it
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

SILENT_SECONDS = 30.0
"""How long a worker may not answer, or answer that it does not have the task, until its run is lost."""

_ANSWER_SECONDS = 3.0
_STARTED = "STARTED"


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, with the same configuration, which notices that a worker is gone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Launch as the base does."""
        super().__init__(*args, **kwargs)
        # By task: since when its worker has not said that it has it, by the monotonic clock.
        self._missing_since: dict[str, float] = {}

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """How the worker of a run is; Dagster's daemon asks from time to time and ends a run that is lost."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "it was handed to no worker")
        task = self.celery.AsyncResult(task_id)
        if task.state != _STARTED or self._is_with(task):
            self._missing_since.pop(task_id, None)
            return super().check_run_worker_health(run)
        since = self._missing_since.setdefault(task_id, time.monotonic())
        if time.monotonic() - since < SILENT_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._missing_since[task_id]
        if self.celery.AsyncResult(task_id).state != _STARTED:  # it ended while its worker was asked
            return super().check_run_worker_health(run)
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"its Celery worker {_worker(task)} has not had it for {SILENT_SECONDS:.0f} s: it was killed, or its "
            "machine is gone",
        )

    def _is_with(self, task: Any) -> bool:
        """Whether the worker that began a task says that it has it. One that began anew under its name does not."""
        worker = _worker(task)
        asked = self.celery.control.inspect(destination=[worker], timeout=_ANSWER_SECONDS)
        answers = asked.query_task(task.id) or {}
        return task.id in (answers.get(worker) or {})


def _worker(task: Any) -> str:
    """The worker that began a task, by its name, as it said in the result backend."""
    said = task.info
    return str(said.get("hostname", "")) if isinstance(said, dict) else ""
