"""The demo's syncs as Dagster runs in this process: real jobs, real instance, so `unified dev` shows them.

Importing this imports Dagster; DAGSTER_HOME has to be set before (`cli.installation.prepare_dagster`).
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg

from store.connections import ConnectionSummary
from unified_assets.definitions import defs
from unified_assets.partitions import CONNECTION_TAG, connections_of

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class RunReport:
    """What one run did.

    Attributes:
        connection: Key of the connection that it synced.
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
    """Sync a connection by its source's job, and wait for the end."""
    started = time.monotonic()
    try:
        result = defs.resolve_job_def(f"{connection.connector}_sync").execute_in_process(
            instance=instance,
            partition_key=connection.key,
            tags={CONNECTION_TAG: connection.key},
            run_config=_QUIET,
            raise_on_error=False,
        )
    except dg.DagsterExecutionInterruptedError:  # how Dagster hands on Ctrl-C
        raise KeyboardInterrupt from None
    failures = [event.step_failure_data.error_display_string for event in result.get_step_failure_events()]
    return RunReport(
        connection.key,
        failures[0] if failures else None if result.success else "the run failed",
        {
            event.materialization.asset_key.path[-1]: {
                name: value.value for name, value in event.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
        },
        {
            f"{check.asset_key.path[-1]}/{check.check_name}": check.passed
            for check in result.get_asset_check_evaluations()
        },
        time.monotonic() - started,
    )
