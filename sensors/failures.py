"""Sees runs fail: marks a connection whose sync died without a word, and alerts.

A sync that fails by itself has written down why. One that was killed, or ended at Dagster's time limit, has not.
"""

from functools import partial

import dagster as dg

from resources.store import CredentialStoreResource, DatabaseResource
from sensors.alerts import alert
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.sync.connection import abandon
from unified_assets.partitions import PARTITION_TAG


def failures_sensor() -> dg.SensorDefinition:
    """The sensor of all runs of this code location."""

    @dg.run_failure_sensor(
        name="failures",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks connections whose sync died, and sends each failure as an alert.",
    )
    def on_failure(
        context: dg.RunFailureSensorContext, database: DatabaseResource, credentials: CredentialStoreResource
    ) -> dg.SkipReason:
        run = context.dagster_run
        key = run.tags.get(PARTITION_TAG)
        reason = _said(context) if key is None else None
        reason = reason or context.failure_event.message or "the run ended without a reason"
        reason = database.ask(partial(_mark, key, run.run_id, reason)) or reason
        what = f"{run.job_name} of {key}" if key else run.job_name
        return dg.SkipReason(
            alert(f"Unified Assets: {what} failed: {reason} (run {run.run_id})", database, credentials)
        )

    return on_failure


def _said(context: dg.RunFailureSensorContext) -> str | None:
    """What the step itself said of its failure: a round, which connections failed and why."""
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        if told and told.description:
            return told.description
    return None


async def _mark(key: str | None, run_id: str, reason: str, db: Database) -> str | None:
    """See that connections say why their sync failed; what to tell of the run's only one, or of those it left."""
    abandoned = await abandon(db, run_id, reason)
    if key is None:
        return f"{reason}; in the middle of syncing {', '.join(abandoned)}" if abandoned else None
    try:
        return (await Registry(db).find(key)).error_message
    except ConnectionNotFoundError:
        return None  # removed meanwhile
