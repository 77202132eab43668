"""Warns of connections that have not synced for too long, each by its own interval, once a day.

The same is an outcome of their check ``fresh`` (`unified_assets.observing.freshness`), reported when it changes.
"""

import json
from datetime import UTC, datetime

import dagster as dg

from resources.store import CredentialStoreResource, DatabaseResource
from sensors.alerts import warn_daily
from unified.store.connections.registry import Registry
from unified_assets.observing.freshness import JOB, silence_of


def freshness_sensor() -> dg.SensorDefinition:
    """The sensor of all connections' last syncs; it asks for a run that reports those that fell silent or are back."""

    @dg.sensor(
        name="silent_connections",
        job_name=JOB,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Warns once a day of each connection whose last successful sync is longer ago than twice its "
        "interval, also by an alert, and fails its check `fresh`.",
    )
    def warn(
        context: dg.SensorEvaluationContext, database: DatabaseResource, credentials: CredentialStoreResource
    ) -> dg.SensorResult:
        now = datetime.now(UTC)
        connections = database.ask(lambda db: Registry(db).all_connections())
        silent = {one.key: said for one in connections if (said := silence_of(one, now))}
        turned = sorted(
            {one.key for one in connections} & (silent.keys() ^ json.loads(context.cursor or "{}").keys())
        )
        result = warn_daily(context, silent, f"{len(silent)} connection(s) are silent", database, credentials)
        if not turned:
            return result
        if result.skip_reason:  # a tick that asks for a run shows no words of its own
            context.log.info(result.skip_reason.skip_message)
        config = {"ops": {"report_turned": {"config": {"connections": turned}}}}
        asked = dg.RunRequest(run_key=now.isoformat(), run_config=config)
        return dg.SensorResult(run_requests=[asked], cursor=result.cursor)

    return warn
