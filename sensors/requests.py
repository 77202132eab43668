"""Takes up requests to sync a connection now, within seconds.

A tick asks for the run and changes nothing. Once a run is there that was asked for on a request's account, a later tick
forgets the request: whatever fails in between, it is neither lost nor carried out twice.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import watch
from unified.kit.adapter import BaseAdapter
from unified.store.connections import sync_requests
from unified.store.connections.sync_requests import PendingSync
from unified.store.database import Database
from unified_assets.partitions import partition_keys
from unified_assets.schedules import assets_of, running_partitions

_RUN_KEY_TAG = "dagster/run_key"
_LOOK_SECONDS = 1.0


def requests_sensor(
    adapters: Sequence[type[BaseAdapter[Any]]], jobs: Mapping[str, Any]
) -> dg.SensorDefinition:
    """The sensor of all sources.

    Args:
        adapters: Their adapters.
        jobs: The job that syncs one connection, by source.
    """
    sources = {adapter.name: adapter for adapter in adapters}

    @dg.sensor(
        name="sync_requests",
        jobs=list(jobs.values()),
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of each connection that somebody wants synced now.",
    )
    def take_up(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        async def look(db: Database) -> dg.SensorResult | None:
            runs = [
                _run_request(sources[one.connection.connector], jobs[one.connection.connector].name, one)
                for one in await _ready(context.instance, db)
                if one.connection.connector in sources
            ]
            return dg.SensorResult(run_requests=runs) if runs else None

        return watch(database, look, _LOOK_SECONDS) or dg.SkipReason("no request can be taken up")

    return take_up


async def _ready(instance: dg.DagsterInstance, db: Database) -> list[PendingSync]:
    """Requests to ask runs for; those that have theirs are forgotten."""
    waiting = await sync_requests.pending(db)
    unanswered = [one for one in waiting if not await _is_settled(instance, db, one)]
    if not unanswered:
        return []
    return await asyncio.to_thread(_free, instance, unanswered)


def _free(instance: dg.DagsterInstance, asked: list[PendingSync]) -> list[PendingSync]:
    """Those that no run is under way for, and whose connection has its partition, which takes seconds if it is new."""
    running = running_partitions(instance)
    sources = {one.connection.connector for one in asked}
    ready = {source: partition_keys(instance, source) - running for source in sources}
    return [one for one in asked if one.connection.key in ready[one.connection.connector]]


async def _is_settled(instance: dg.DagsterInstance, db: Database, one: PendingSync) -> bool:
    asked_for = dg.RunsFilter(tags={_RUN_KEY_TAG: _run_key(one)})
    if not await asyncio.to_thread(instance.get_runs, filters=asked_for, limit=1):
        return False
    await sync_requests.settle(db, one)
    return True


def _run_key(one: PendingSync) -> str:
    """Names the request, so that Dagster runs it once. By id: keys are given anew once a connection is gone."""
    mode = "full" if one.request.full else "changes"
    return f"{one.connection.id}@{one.request.requested_at.isoformat()}:{mode}"


def _run_request(adapter: type[BaseAdapter[Any]], job: str, one: PendingSync) -> dg.RunRequest:
    assets = assets_of(adapter, one.connection)
    full = {"__".join(asset.path): {"config": {"full": True}} for asset in assets}
    return dg.RunRequest(
        run_key=_run_key(one),
        job_name=job,
        partition_key=one.connection.key,
        asset_selection=assets,
        run_config={"ops": full} if one.request.full else {},
    )
