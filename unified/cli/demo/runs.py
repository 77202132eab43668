"""The demo's syncs as Dagster runs in this process: real jobs, real instance, so `unified dev` shows them.

Importing this imports Dagster; DAGSTER_HOME has to be set before (`unified.cli.installation.prepare_dagster`).
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from shutil import disk_usage
from threading import Thread
from typing import Any
from uuid import uuid4

import dagster as dg

from unified.cli.installation import is_embedded
from unified.cli.session import CommandError
from unified.kit.registry import get_adapter
from unified.store.connections.rows import ConnectionSummary
from unified.store.routes.rows import RouteSummary
from unified.store.server.embedded import home
from unified_assets.definitions import defs
from unified_assets.identities import KEY
from unified_assets.partitions import WORKSPACES, connections_of
from unified_assets.routes import JOB, routes
from unified_assets.schedules import assets_of

# PostgreSQL's log grows by files of this size, and the server ends where there is no room for one.
_LOG_SEGMENT = 16 * 1024 * 1024
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did.

    Attributes:
        connection: Key of the connection that it synced, or of the route; of a drain, the source; of identities, the
            workspace.
        failure: Why it failed; None where it succeeded.
        counts: By stream: ``read``, ``inserted``, ``updated``, ``deleted``, ``requests`` and more.
        checks: Whether each asset check passed, by ``stream/check``.
        seconds: How long it took.
    """

    connection: str
    failure: str | None
    counts: dict[str, dict[str, Any]]
    checks: dict[str, bool]
    seconds: float

    def total(self, name: str) -> int:
        """Sum of a count over the streams."""
        return sum(int(counts[name]) for counts in self.counts.values())


@contextmanager
def dagster_instance(connections: Iterable[ConnectionSummary]) -> Iterator[dg.DagsterInstance]:
    """The installation's Dagster instance, with a partition for each of these connections."""
    with dg.DagsterInstance.get() as instance:
        for connection in connections:
            partitions = connections_of(connection.connector)
            instance.add_dynamic_partitions(str(partitions.name), [connection.key])
        yield instance


def run_sync(instance: dg.DagsterInstance, connection: ConnectionSummary) -> RunReport:
    """Sync a connection by its source's job, and wait for the end.

    Args:
        instance: Where the run is recorded.
        connection: What to sync; it has a partition.

    Raises:
        CommandError: If Dagster itself failed, for example because its storage did.
        KeyboardInterrupt: On Ctrl-C. The run is then recorded as canceled.
    """
    job = defs.resolve_job_def(f"{connection.connector}_sync")
    assets = assets_of(get_adapter(connection.connector), connection)
    return _run(instance, job, connection.key, partition_key=connection.key, asset_selection=assets)


def run_drain(instance: dg.DagsterInstance, source: str) -> RunReport:
    """Apply what waits in a source's inbox by its job, and wait for the end; raises as :func:`run_sync`."""
    config = {"ops": {f"drain_{source}_inbox": {"config": {"linger_seconds": 0}}}}
    return _run(instance, defs.resolve_job_def(f"{source}_drain"), source, run_config=config)


def run_route(instance: dg.DagsterInstance, route: RouteSummary) -> RunReport:
    """Push what changed along a route by its job, and wait for the end; raises as :func:`run_sync`."""
    instance.add_dynamic_partitions(str(routes.name), [route.partition])
    return _run(instance, defs.resolve_job_def(JOB), route.key, partition_key=route.partition)


def run_identities(instance: dg.DagsterInstance, workspace: str) -> RunReport:
    """Resolve a workspace's identities, and wait for the end; raises as :func:`run_sync`."""
    instance.add_dynamic_partitions(str(WORKSPACES.name), [workspace])
    # The asset has no job of its own; its sensor asks for runs of the asset as well.
    job = defs.resolve_implicit_global_asset_job_def()
    return _run(instance, job, workspace, partition_key=workspace, asset_selection=[KEY])


def _run(
    instance: dg.DagsterInstance,
    job: dg.JobDefinition,
    about: str,
    *,
    partition_key: str | None = None,
    run_config: Mapping[str, Any] | None = None,
    asset_selection: Sequence[dg.AssetKey] | None = None,
) -> RunReport:
    started, run_id = time.monotonic(), str(uuid4())
    outcome: Future[dg.ExecuteInProcessResult] = Future()

    def execute() -> None:
        try:
            outcome.set_result(
                job.execute_in_process(
                    instance=instance,
                    run_id=run_id,
                    partition_key=partition_key,
                    run_config={**_QUIET, **(run_config or {})},
                    asset_selection=asset_selection,
                    raise_on_error=False,
                )
            )
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            outcome.set_exception(error)

    # Not in the main thread: there Dagster raises Ctrl-C wherever it meets the code, and a task of the event
    # loop that meets it swallows it. This thread needs no orderly end: a sync may be killed anywhere.
    thread = Thread(target=execute, name=f"{job.name} of {about}", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        if run := instance.get_run_by_id(run_id):
            instance.report_run_canceled(run)
        raise
    try:
        result = outcome.result()
    except Exception as error:
        # Steps report their own errors; what comes this far is Dagster's, most often of its storage.
        reason = " ".join(str(error.__cause__ or error).splitlines()[:1])
        if is_embedded() and disk_usage(home()).free < _LOG_SEGMENT:
            reason = f"PostgreSQL has ended, the disk of {home()} is full"
        raise CommandError(f"Dagster could not carry out its run of {about}: {reason}") from error
    return _report(about, result, time.monotonic() - started)


def _report(connection: str, result: dg.ExecuteInProcessResult, seconds: float) -> RunReport:
    failures = [_reason(event.step_failure_data.error) for event in result.get_step_failure_events()]
    counts = {
        event.materialization.asset_key.path[-1]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }
    checks = {
        f"{check.asset_key.path[-1]}/{check.check_name}": check.passed
        for check in result.get_asset_check_evaluations()
    }
    failure = None if result.success else "; ".join(failures) or "the run failed"
    return RunReport(connection, failure, counts, checks, seconds)


def _reason(error: Any) -> str:
    """What a step's error was in the first place, without the stack."""
    while error.cause:
        error = error.cause
    return " ".join(str(error.message).split())
