"""Keeps the partitions of ``routes/customers`` equal to the routes, and asks for runs of those that have work.

A route has work as soon as a sync or a drain of its connection has committed changes, or when its interval has passed.
What was seen is not marked anywhere: a run moves the route's own cursor, and if a tick fails nothing is lost.
"""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import watch
from unified.store.database import Database
from unified.store.routes import runs
from unified.store.routes.routes import Routes
from unified.store.routes.rows import RouteSummary
from unified_assets.partitions import PARTITION_TAG, difference
from unified_assets.routes import JOB, routes
from unified_assets.single import last_run, next_run_key

# A route that ended early waits so long, unless somebody asks for a run: what stopped it rarely passes sooner, and a
# person may have to act.
_AFTER_FAILURE = timedelta(minutes=5)
_LOOK_SECONDS = 10.0


def routes_sensor() -> dg.SensorDefinition:
    """The sensor of all routes."""

    @dg.sensor(
        name="routes",
        job_name=JOB,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each route, and runs routes whose connections have changed.",
    )
    def ask(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        async def look(db: Database) -> dg.SensorResult | None:
            now = (await db.clock())()
            there = set(
                await asyncio.to_thread(routes.get_partition_keys, dynamic_partitions_store=context.instance)
            )
            wanted = {route.partition for route in await Routes(db).all()}
            requests = difference(routes, there, wanted)
            ready = [route for route in await runs.due(db, now) if route.partition in there]
            asked = await asyncio.to_thread(lambda: list(_runs(context.instance, ready, now)))
            if not requests and not asked:
                return None
            return dg.SensorResult(run_requests=asked, dynamic_partitions_requests=requests)

        return watch(database, look, _LOOK_SECONDS) or dg.SkipReason(
            "no route has anything to push that is not being pushed"
        )

    return ask


def _runs(instance: dg.DagsterInstance, due: list[RouteSummary], now: datetime) -> Iterator[dg.RunRequest]:
    for route in due:
        has_failed = (
            route.status == "error" and route.finished_at and now - route.finished_at < _AFTER_FAILURE
        )
        if has_failed and not route.requested_at:
            continue
        last = last_run(instance, JOB, {PARTITION_TAG: route.partition})
        if last is None or last.dagster_run.is_finished:
            yield dg.RunRequest(run_key=next_run_key(route.key, last), partition_key=route.partition)
