"""Has the inbox tended: partitions for the days to come are made, what is old and applied is dropped.

A drain does the same when it begins; this is for days without one. Done twice it changes nothing.
"""

from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from resources.store import DatabaseResource
from unified.store.inbox import retention


def retention_sensor() -> dg.SensorDefinition:
    """The sensor that tends the inbox."""

    @dg.sensor(
        name="inbox_retention",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes the inbox's partitions ahead and drops received events that are old and applied.",
    )
    def tend(database: DatabaseResource) -> dg.SkipReason:
        tended = database.ask(lambda db: retention.tend(db, datetime.now(UTC)))
        done = {name: value for name, value in asdict(tended).items() if value}
        return dg.SkipReason(f"done: {done}" if done else "there was nothing to do")

    return tend
