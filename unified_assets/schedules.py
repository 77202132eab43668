"""One job and one schedule per source: each tick asks for a run of every connection whose turn it is."""

import asyncio
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified_assets.partitions import CONNECTION_TAG, partition_keys

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in _ENDED]


def source_job(adapter: type[BaseAdapter[Any]]) -> Any:
    """The job that syncs one connection of a source: all its streams in one process."""
    return dg.define_asset_job(
        f"{adapter.name}_sync",
        selection=dg.AssetSelection.assets(*([adapter.name, stream.name] for stream in adapter.streams)),
        executor_def=dg.in_process_executor,
        description=f"Pull the changes of one {adapter.display_name} connection.",
    )


def source_schedule(adapter: type[BaseAdapter[Any]], job: Any) -> dg.ScheduleDefinition:
    """The schedule of a source.

    It ticks every minute so that each connection's own interval is kept, an hour unless set otherwise. A connection
    with a run under way or queued is left alone.
    """

    @dg.schedule(
        name=f"{adapter.name}_schedule",
        job=job,
        cron_schedule="* * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Syncs each {adapter.display_name} connection at its own interval, hourly by default.",
    )
    def tick(
        context: dg.ScheduleEvaluationContext, database: DatabaseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = context.scheduled_execution_time
        found = asyncio.run(_due(database, now, running_connections(context.instance)))
        due = {connection.key: connection for connection in found if connection.connector == adapter.name}
        ready = partition_keys(context.instance, adapter.name).intersection(due)
        for key in filter(ready.__contains__, due):
            # The time makes the key new at each tick: Dagster never runs a key twice, not even one that failed.
            yield dg.RunRequest(
                run_key=f"{key}@{now.isoformat()}",
                partition_key=key,
                asset_selection=assets_of(adapter, due[key]),
            )
        if not ready:
            yield dg.SkipReason(
                f"{len(due)} connection(s) wait for their partition" if due else "no connection is due"
            )

    return tick


def assets_of(adapter: type[BaseAdapter[Any]], connection: ConnectionSummary) -> list[dg.AssetKey]:
    """The assets of the streams that a connection reads."""
    return [dg.AssetKey([adapter.name, stream.name]) for stream in adapter.chosen(connection.streams)]


async def _due(
    database: DatabaseResource, now: datetime, running: Collection[str]
) -> list[ConnectionSummary]:
    async with database.open() as db:
        return await Registry(db).due(now, running)


def running_connections(instance: dg.DagsterInstance) -> set[str]:
    """Keys of connections with a run under way or queued, however it was asked for."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
    return {run.tags[CONNECTION_TAG] for run in runs if CONNECTION_TAG in run.tags}
