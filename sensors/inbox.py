"""Asks for a drain run as soon as something waits in a source's inbox.

A tick stays and looks (:mod:`sensors.watching`). Most looks only ask whether an event was received since.
"""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from sensors import watching
from unified.kit.adapter import BaseAdapter
from unified.store.database import Database
from unified.store.inbox import backlog, horizon
from unified_assets.drains import lease_of
from unified_assets.single import last_run, next_run_key, obstacle_of

# Between two looks through the inbox, or longer: however many connections there are, it takes a small part of the time.
_LOOK_SECONDS = 0.1
_SHARE = 4
# Between two looks whether an event was received.
_PULSE_SECONDS = 0.25
# Where none was, the inbox is looked through so often: a dead letter comes due, a transaction that held events up ends.
_QUIET_SECONDS = 5.0
# Where one was, it can be read after some time.
_KEEN_SECONDS = 2.0
# What is older was seen by a tick's first look.
_REACH = timedelta(hours=1)
# While a run is under way, which applies what comes by itself.
_BLOCKED_SECONDS = 1.0


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
    until = time.monotonic() + watching.WATCH_SECONDS
    async with database.open() as db:
        clock = await db.clock()
        since: datetime | None = None
        received = _Received(db, source, await backlog.pulse(db, source))
        while True:
            started = time.monotonic()
            found = await backlog.waiting(db, source, clock(), **({"received_since": since} if since else {}))
            pause = max(_LOOK_SECONDS, _SHARE * (time.monotonic() - started))
            obstacle = "nothing waits"
            if due := [one for one in found if one.is_due(clock())]:
                last = last_run(instance, job)
                obstacle = await obstacle_of(db, lease_of(source), last, clock())
                if not obstacle:
                    events = sum(one.events + one.letters for one in due)
                    tags = {"unified/waiting_events": str(events)}
                    return dg.RunRequest(run_key=next_run_key(source, last), tags=tags)
                pause = _BLOCKED_SECONDS
            if time.monotonic() + pause > until:
                async with db.scheduler() as conn:
                    if held_up := await horizon.held_up(conn, source):
                        count = sum(held.events for held in held_up.connections.values())
                        obstacle += f"; {count} event(s) can't be read yet and wait for {held_up.by}"
                return dg.SkipReason(obstacle)
            since = clock() - _REACH
            await asyncio.sleep(pause)
            if not due:
                await received.wait(until)


class _Received:
    """Waits for events by their numbers, which costs next to nothing however many connections there are."""

    def __init__(self, db: Database, source: str, pulse: int | None) -> None:
        self._db = db
        self._source = source
        self._pulse = pulse
        self._keen_until = 0.0

    async def wait(self, until: float) -> None:
        """Wait until the inbox is worth a look: an event was received a moment ago, or none for a while.

        Args:
            until: Not longer than that, by the monotonic clock.
        """
        until = min(until, time.monotonic() + _QUIET_SECONDS)
        while True:
            pulse = await backlog.pulse(self._db, self._source)
            now = time.monotonic()
            if pulse != self._pulse:
                self._pulse, self._keen_until = pulse, now + _KEEN_SECONDS
            if now < self._keen_until or now >= until:
                return
            await asyncio.sleep(until - now if pulse is None else min(until - now, _PULSE_SECONDS))
