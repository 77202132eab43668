"""Runs as Celery tasks that are watched, as `deploy/celery/launcher.yaml` asks for. Needs the extra `celery`.

dagster-celery believes the result backend. There the task of a worker that was killed as a whole stays STARTED for
ever, and with it the run, and its connection (https://github.com/dagster-io/dagster/issues/33493); and all tasks are
unknown once the broker was emptied, those that go on as well. Here the workers are asked. While the broker is away,
runs wait in Dagster's queue. The app that workers run is :mod:`resources.celery_app`.
"""

import logging
import threading
import time
from contextlib import suppress
from typing import Any

from celery.states import READY_STATES, STARTED
from dagster import DagsterEvent, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.launcher import (  # how a launcher says it
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
)
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from resources.celery_broker import (
    BROKER_ERRORS,
    SETTINGS,
    WORKER_SECONDS,
    trouble,
    use_outcomes,
    with_checked_certificate,
)
from resources.celery_names import BROKER_VARIABLE

SILENT_SECONDS = 40.0
"""For how long nobody may have a task until its run is lost. A worker looks for a broker that was away every 30 s."""

_PATIENCE_SECONDS = 20.0
"""How long a launch waits for the broker, until the run goes back into the queue."""
_LOOK_SECONDS = 20.0
_HANDED = "HANDED"
"""Said of a task that waits in the broker. Where nothing is said, it was lost with all that the broker had."""

log = logging.getLogger(__name__)


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, which notices that a worker or the broker is gone.

    It is configured as the base is. The broker and the result backend are one Redis.
    """

    def __init__(
        self,
        default_queue: str,
        broker: str,
        backend: str,
        config_source: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Launch as the base does."""
        super().__init__(
            default_queue,
            with_checked_certificate(broker),
            with_checked_certificate(backend),
            config_source={**SETTINGS, **(config_source or {})},
            **options,
        )
        use_outcomes(self.celery)
        # By task: since when nobody has said that it has it, by the monotonic clock.
        self._missing_since: dict[str, float] = {}
        self._is_away = False
        self._saying = threading.Lock()
        self._watch: threading.Thread | None = None
        self._is_disposed = threading.Event()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand a run to the broker, or put it back into Dagster's queue while that is away."""
        run = context.dagster_run
        if self._watch is None:  # this is the process of Dagster's daemon
            self._watch = threading.Thread(target=self._look_on, name="handed-runs", daemon=True)
            self._watch.start()
        if found := self._lasting_trouble():
            self._put_back(run.run_id, found)
            return
        try:
            super().launch_run(context)
        except BROKER_ERRORS as error:
            # The broker may have it or not, so the run is not handed over once more. A new one is.
            self._instance.report_run_failed(
                run, f"The Celery broker went away as it was handed the run ({error})."
            )
            return
        if handed := self._instance.get_run_by_id(run.run_id):
            self._say(handed.tags[DAGSTER_CELERY_TASK_ID_TAG], _HANDED)

    def terminate(self, run_id: str) -> bool:
        """End a run in its worker. Returns False where the broker, which has to pass that on, is away."""
        if found := self._trouble():
            if run := self._instance.get_run_by_id(run_id):
                self._instance.report_engine_event(f"The run can't be ended now: {found}.", run)
            return False
        return super().terminate(run_id)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """How the worker of a run is; Dagster's daemon asks from time to time and ends a run that is lost."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "it was handed to no worker")
        try:
            return self._health(run, task_id)
        except BROKER_ERRORS:
            # It goes on in its worker, and nobody has had a chance to say so.
            self._missing_since.clear()
            return CheckRunHealthResult(WorkerStatus.RUNNING, self._trouble())

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: FBT002 - as the base has it
    ) -> str | None:
        """What Dagster adds to the reason for which it gives a run up."""
        if DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return None
        return self._trouble() or super().get_run_worker_debug_info(run, include_container_logs)

    def dispose(self) -> None:
        """End the watch."""
        self._is_disposed.set()
        super().dispose()

    def fail_lost(self) -> None:
        """Fail each run that was handed over and that nobody has. Dagster asks only after those that have begun."""
        if self._trouble():
            return
        for run in self._instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTING])):
            health = self.check_run_worker_health(run)
            if health.status == WorkerStatus.FAILED and self._starting(run.run_id):
                self._instance.report_run_failed(run, f"The run did not begin: {health.msg}.")

    def _look_on(self) -> None:
        while not self._is_disposed.wait(_LOOK_SECONDS):
            try:
                self.fail_lost()
            except Exception as error:  # noqa: BLE001 - Dagster's storage may be away too, for a while
                log.warning(
                    "Runs that wait in the Celery broker could not be looked at: %s", type(error).__name__
                )

    def _lasting_trouble(self) -> str | None:
        """What is wrong with the broker, if that lasts for a while."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while (found := self._trouble()) and time.monotonic() < end and not self._is_disposed.wait(1.0):
            pass
        return found

    def _trouble(self) -> str | None:
        """What is wrong with the broker, which is logged when it begins and when it ends."""
        found = trouble(self.celery)
        with self._saying:
            was_away, self._is_away = self._is_away, found is not None
        if found and not was_away:
            log.warning(
                "No run can begin: %s. Those under way go on. Start it, or correct %s.",
                found,
                BROKER_VARIABLE,
            )
        elif was_away and not found:
            log.warning("The Celery broker answers again.")
        return found

    def _put_back(self, run_id: str, reason: str) -> None:
        """As Dagster's daemon does it with runs whose code server is away."""
        if run := self._starting(run_id):
            self._instance.report_engine_event(f"Back into the queue: {reason}.", run)
            self._instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run_id)

    def _starting(self, run_id: str) -> DagsterRun | None:
        """A run that is still to begin. None where it has begun meanwhile, or was canceled."""
        run = self._instance.get_run_by_id(run_id)
        return run if run and run.status == DagsterRunStatus.STARTING else None

    def _health(self, run: DagsterRun, task_id: str) -> CheckRunHealthResult:
        task = self.celery.AsyncResult(task_id)
        state = task.state
        if state in READY_STATES:
            self._missing_since.pop(task_id, None)
            return super().check_run_worker_health(run)
        waits = state == _HANDED and run.status == DagsterRunStatus.STARTING
        if waits or self._is_with_a_worker(task):
            self._missing_since.pop(task_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        since = self._missing_since.setdefault(task_id, time.monotonic())
        if time.monotonic() - since < SILENT_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._missing_since.pop(task_id, None)
        if self.celery.AsyncResult(task_id).state != state:  # it went on while its worker was asked
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, _lost(task))

    def _is_with_a_worker(self, task: Any) -> bool:
        """Whether a worker says that it has a task: the one that began it, where the broker still knows which.

        One that began anew under its name does not have it.
        """
        known = _worker(task)
        asked = self.celery.control.inspect(destination=[known] if known else None, timeout=WORKER_SECONDS)
        answers = asked.query_task(task.id) or {}
        worker = next((name for name, tasks in answers.items() if task.id in (tasks or {})), None)
        if worker and not known:
            self._say(task.id, STARTED, {"hostname": worker})  # so that it alone is asked from now on
        return worker is not None

    def _say(self, task_id: str, state: str, result: Any = None) -> None:
        """Say in the result backend how a task stands, unless its worker has said something."""
        backend = self.celery.backend
        said = backend.encode({"status": state, "result": result, "traceback": None, "children": []})
        with suppress(*BROKER_ERRORS):
            backend.client.set(backend.get_key_for_task(task_id), said, nx=True, ex=backend.expires)


def _worker(task: Any) -> str:
    """The worker that began a task, by its name, as it said in the result backend."""
    said = task.info
    return str(said.get("hostname", "")) if isinstance(said, dict) else ""


def _lost(task: Any) -> str:
    """Why a task is given up that nobody has."""
    seconds = f"{SILENT_SECONDS:.0f} s"
    if worker := _worker(task):
        return (
            f"its Celery worker {worker} has not had it for {seconds}: it was killed, or its machine is gone"
        )
    return f"the Celery broker has lost it: it was emptied or started anew, and no worker has had it for {seconds}"
