"""One job and one schedule per source: a round whenever a connection is due; and the job that syncs one connection."""

from datetime import datetime
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.store.connections import turns
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified_assets.observing.freshness import fresh_keys
from unified_assets.partitions import PARTITION_TAG
from unified_assets.rounds import lease_of
from unified_assets.single import is_under_way, last_run, next_run_key

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_UNDER_WAY = [status for status in dg.DagsterRunStatus if status not in _ENDED]


def source_job(adapter: type[BaseAdapter[Any]]) -> Any:
    """The job that syncs one connection of a source: all its streams in one process."""
    return dg.define_asset_job(
        f"{adapter.name}_sync",
        selection=dg.AssetSelection.assets(*([adapter.name, stream.name] for stream in adapter.streams))
        - dg.AssetSelection.checks(*fresh_keys(adapter)),
        executor_def=dg.in_process_executor,
        description=f"Pull the changes of one {adapter.display_name} connection.",
    )


def source_schedule(adapter: type[BaseAdapter[Any]], job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The schedule of a source.

    It ticks every minute so that each connection's own interval is kept, an hour unless set otherwise. Connections
    whose first load is not done yet are `sensors.loads`' to ask runs for.

    Args:
        adapter: The source's.
        job: Its round.
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
    ) -> dg.RunRequest | dg.SkipReason:
        last = last_run(context.instance, job.name)
        now = context.scheduled_execution_time
        if obstacle := database.ask(lambda db: _obstacle(db, adapter, last, now)):
            return dg.SkipReason(obstacle)
        return dg.RunRequest(run_key=next_run_key(adapter.name, last))

    return tick


def assets_of(adapter: type[BaseAdapter[Any]], connection: ConnectionSummary) -> list[dg.AssetKey]:
    """The assets of the streams that a connection reads."""
    return [dg.AssetKey([adapter.name, stream.name]) for stream in adapter.chosen(connection.streams)]


async def _obstacle(
    db: Database, adapter: type[BaseAdapter[Any]], last: dg.RunRecord | None, now: datetime
) -> str:
    """Why no round is to be asked for; empty if nothing is in the way."""
    if not await turns.due(db, now, connector=adapter.name, is_loaded=True, limit=1):
        return "no connection is due"
    clock = await db.clock()
    return "a round is under way" if await is_under_way(db, lease_of(adapter.name), last, clock()) else ""


def running_partitions(instance: dg.DagsterInstance) -> set[str]:
    """Keys of partitions, such as connections, with a run of their own under way or queued, whoever asked for it."""
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=_UNDER_WAY))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}
