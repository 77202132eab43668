"""Asks for a run of each connection whose first load is due or under way: it may take hours, a round minutes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import watch
from unified.kit.adapter import BaseAdapter
from unified.store.connections import turns
from unified.store.database import Database
from unified_assets.partitions import partition_keys
from unified_assets.schedules import assets_of, running_partitions

# Asked for by one tick; the next one asks for more.
_MOST = 100
_LOOK_SECONDS = 10.0


def loads_sensor(adapters: Sequence[type[BaseAdapter[Any]]], jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """The sensor of all sources.

    Args:
        adapters: Their adapters.
        jobs: The job that syncs one connection, by source.
    """
    sources = {adapter.name: adapter for adapter in adapters}

    @dg.sensor(
        name="first_loads",
        jobs=list(jobs.values()),
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of each connection that is due and was not read whole yet.",
    )
    def ask(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        async def look(db: Database) -> dg.SensorResult | None:
            now = datetime.now(UTC)
            running = await asyncio.to_thread(running_partitions, context.instance)
            found = await turns.due(db, now, running, is_loaded=False, limit=_MOST)
            ready = {
                source: await asyncio.to_thread(partition_keys, context.instance, source)
                for source in {one.connector for one in found}
            }
            runs = [
                # The minute makes the key new: Dagster never runs a key twice, not even one that failed.
                dg.RunRequest(
                    run_key=f"{one.key}@{now:%Y-%m-%dT%H:%M}",
                    job_name=jobs[one.connector].name,
                    partition_key=one.key,
                    asset_selection=assets_of(sources[one.connector], one),
                )
                for one in found
                if one.connector in sources and one.key in ready[one.connector]
            ]
            return dg.SensorResult(run_requests=runs) if runs else None

        return watch(database, look, _LOOK_SECONDS) or dg.SkipReason(
            "no first load is due, or its connection waits for its partition"
        )

    return ask
