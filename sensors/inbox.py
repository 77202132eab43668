"""Asks for a drain run as soon as something waits in a source's inbox.

A tick comes every few seconds at best, so a tick stays and looks. It only looks: what it saw is not marked anywhere,
and if it fails nothing is lost.
"""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.store.database import Database
from unified.store.inbox import backlog, horizon
from unified_assets.drains import lease_of

WATCH_SECONDS = 25.0
"""How long a tick looks. Dagster ends one after 60 s, and a daemon that is stopped waits for its ticks."""

# Between two looks, or longer: however many connections there are, looking takes a small part of the time.
_LOOK_SECONDS = 0.1
_SHARE = 4
# What is older was seen by a tick's first look.
_REACH = timedelta(hours=1)
# While a run is under way, which applies what comes by itself.
_BLOCKED_SECONDS = 1.0

# A run that failed as a whole may fail again; connections in trouble have pauses of their own.
_AFTER_FAILURE = timedelta(seconds=30)
# A run that starts takes the lease within this time. One that is older and has none was killed with its machine.
_START = timedelta(seconds=60)


def inbox_sensor(adapter: type[BaseAdapter[Any]], job: str) -> dg.SensorDefinition:
    """The sensor of one source."""

    @dg.sensor(
        name=f"{adapter.name}_inbox",
        job_name=job,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for a drain when {adapter.display_name} webhooks wait and no drain is under way.",
    )
    def watch(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.RunRequest | dg.SkipReason:
        return asyncio.run(_watch(context.instance, database, adapter.name, job))

    return watch


async def _watch(
    instance: dg.DagsterInstance, database: DatabaseResource, source: str, job: str
) -> dg.RunRequest | dg.SkipReason:
    until = time.monotonic() + WATCH_SECONDS
    async with database.open() as db:
        clock = await db.clock()
        since: datetime | None = None
        while True:
            started = time.monotonic()
            found = await backlog.waiting(db, source, clock(), **({"received_since": since} if since else {}))
            pause = max(_LOOK_SECONDS, _SHARE * (time.monotonic() - started))
            obstacle = "nothing waits"
            if due := [one for one in found if one.is_due(clock())]:
                last = last_run(instance, job)
                obstacle = await obstacle_of(db, lease_of(source), last, clock())
                if not obstacle:
                    # Named after the run before it: asked for once, however often this is seen, and anew if it fails.
                    key = f"{source}:{last.dagster_run.run_id if last else 'first'}"
                    events = sum(one.events + one.letters for one in due)
                    return dg.RunRequest(run_key=key, tags={"unified/waiting_events": str(events)})
                pause = _BLOCKED_SECONDS
            if time.monotonic() + pause > until:
                async with db.scheduler() as conn:
                    if held_up := await horizon.held_up(conn, source):
                        count = sum(held.events for held in held_up.connections.values())
                        obstacle += f"; {count} event(s) can't be read yet and wait for {held_up.by}"
                return dg.SkipReason(obstacle)
            since = clock() - _REACH
            await asyncio.sleep(pause)


def last_run(instance: dg.DagsterInstance, job: str) -> dg.RunRecord | None:
    """The run of a job that was asked for last."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    return records[0] if records else None


async def obstacle_of(db: Database, lease: str, last: dg.RunRecord | None, now: datetime) -> str:
    """Why no run is to be asked for now; empty if nothing is in the way.

    Args:
        db: Where runs take their lease.
        lease: The lock that a run holds while it lives.
        last: The run that was asked for last.
        now: The time.
    """
    if last is None:
        return ""
    status = last.dagster_run.status
    age = now - last.update_timestamp
    if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) and age < _AFTER_FAILURE:
        return "the last run did not succeed; it is tried again half a minute after its end"
    if last.dagster_run.is_finished:
        return ""
    if status is dg.DagsterRunStatus.QUEUED or age < _START:
        return "a run is asked for or under way"
    async with db.exclusive(lease) as is_free:
        return "" if is_free else "a run is under way"
