"""Asks for a run of deliveries as soon as something changed that somebody subscribed to.

A tick stays and looks (:mod:`sensors.watching`).
"""

import asyncio
import time
from functools import partial

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import Watch
from unified.store.database import Database
from unified.store.subscriptions.due import due, has_changes
from unified.sync.subscriptions.deliver import LEASE
from unified_assets.single import last_run, next_run_key, obstacle_of
from unified_assets.subscriptions import JOB

# Between two looks.
_LOOK_SECONDS = 0.5
# The same while there is no subscription that something could be delivered to.
_IDLE_SECONDS = 2.0


def subscriptions_sensor() -> dg.SensorDefinition:
    """The sensor of all subscriptions."""

    @dg.sensor(
        name="subscriptions",
        job_name=JOB,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for deliveries when something changed that is subscribed to, and none are under way.",
    )
    def watch(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        return database.ask(partial(_watch, context.instance))

    return watch


async def _watch(instance: dg.DagsterInstance, db: Database) -> dg.RunRequest | dg.SkipReason:
    span, clock = Watch(), await db.clock()
    while True:
        started = time.monotonic()
        obstacle = "nothing has changed that is subscribed to"
        followed = await due(db, clock())
        for workspace_id, subscription_id in followed:
            if not await has_changes(db, workspace_id, subscription_id, clock(), or_is_behind=True):
                continue
            last = await asyncio.to_thread(last_run, instance, JOB)
            obstacle = await obstacle_of(db, LEASE, last, clock())
            if not obstacle:
                return dg.RunRequest(run_key=next_run_key(JOB, last))
            break
        if not await span.pause(started, _LOOK_SECONDS if followed else _IDLE_SECONDS):
            return dg.SkipReason(obstacle)
