"""Asks for a drain run of each source as soon as something waits in its inbox.

A tick stays and looks (:mod:`sensors.watching`), at all sources together. Most looks only ask whether an event was
received since.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import Watch
from unified.store.database import Database
from unified.store.inbox import backlog, horizon
from unified.store.inbox.backlog import Waiting
from unified_assets.drains import lease_of
from unified_assets.single import last_run, next_run_key, obstacle_of

# Between two looks through the inbox, or so many times what a look takes.
_LOOK_SECONDS = 0.1
_SHARE = 4
# Between two looks whether an event was received.
_PULSE_SECONDS = 0.25
# Where none was, the inbox is looked through so often: a dead letter comes due, a transaction that held events up ends.
_QUIET_SECONDS = 5.0
# Where one was, it can be read after some time.
_KEEN_SECONDS = 2.0
# What is older was seen by a tick's first look; where nothing was asked for, it is looked for again.
_REACH = timedelta(hours=1)
# A source is left alone for so long while a run of it is under way, which applies what comes by itself.
_BLOCKED = timedelta(seconds=1)


def inbox_sensor(jobs: Mapping[str, dg.JobDefinition]) -> dg.SensorDefinition:
    """The sensor of all sources.

    Args:
        jobs: The job that drains one, by source.
    """

    @dg.sensor(
        name="inbox",
        jobs=list(jobs.values()),
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a drain of each source whose webhooks wait while no drain of it is under way.",
    )
    def look(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        return database.ask(_Look(context.instance, {source: job.name for source, job in jobs.items()}).stay)

    return look


class _Look:
    """What one tick looks at, and the sources that it leaves alone for a moment."""

    def __init__(self, instance: dg.DagsterInstance, jobs: Mapping[str, str]) -> None:
        self._instance = instance
        self._jobs = jobs
        # Why no run of a source is asked for, and until when it is left alone for that.
        self._blocked: dict[str, tuple[str, datetime]] = {}
        # What was seen and not asked for, and when it is looked for again, however old it is by then.
        self._later: dict[str, tuple[Waiting, datetime]] = {}

    async def stay(self, db: Database) -> dg.SensorResult | dg.SkipReason:
        """Look until there are runs to ask for, or the tick has stayed long enough."""
        span, clock = Watch(), await db.clock()
        since = backlog.EVER
        received = _Received(db, self._jobs, await backlog.pulse(db, self._jobs))
        while True:
            started, now = time.monotonic(), clock()
            self._blocked = {source: one for source, one in self._blocked.items() if one[1] > now}
            free = self._jobs.keys() - self._blocked.keys()
            oldest = min([since, *self._ripe(free, now)])
            found = await backlog.waiting_of(db, free, now, received_since=oldest)
            now = clock()
            if runs := await self._runs(db, [one for one in found if one.is_due(now)], now):
                return dg.SensorResult(run_requests=runs)
            every = _PULSE_SECONDS if self._blocked else _LOOK_SECONDS
            if not await span.pause(started, every, _SHARE):
                return dg.SkipReason(await self._reason(db))
            for one in found:
                _, until = self._blocked.get(one.connection.connector, ("", now))
                self._later[one.connection.key] = one, max(until, one.held_until or now)
            since = now - _REACH
            if not self._blocked:
                await received.wait(min(_QUIET_SECONDS, span.left()))

    def _ripe(self, sources: Collection[str], now: datetime) -> list[datetime]:
        """Since when events wait that are looked for again now."""
        ripe = [one for one, at in self._later.values() if at <= now and one.connection.connector in sources]
        for one in ripe:
            del self._later[one.connection.key]
        return [one.oldest_at for one in ripe if one.oldest_at]

    async def _runs(self, db: Database, due: Collection[Waiting], now: datetime) -> list[dg.RunRequest]:
        """Of sources with something to do that nothing is in the way of; the others are left alone for a moment."""
        by_source: dict[str, list[Waiting]] = defaultdict(list)
        for one in due:
            by_source[one.connection.connector].append(one)
        runs = []
        for source, waiting in by_source.items():
            last = await asyncio.to_thread(last_run, self._instance, self._jobs[source])
            if obstacle := await obstacle_of(db, lease_of(source), last, now):
                self._blocked[source] = obstacle, now + _BLOCKED
                continue
            events = sum(one.events + one.letters for one in waiting)
            runs.append(
                dg.RunRequest(
                    run_key=next_run_key(source, last),
                    job_name=self._jobs[source],
                    tags={"unified/waiting_events": str(events)},
                )
            )
        return runs

    async def _reason(self, db: Database) -> str:
        """Why nothing was asked for."""
        said = [f"{source}: {obstacle}" for source, (obstacle, _) in sorted(self._blocked.items())]
        async with db.scheduler() as conn:
            if held_up := await horizon.held_up(conn):
                count = sum(held.events for held in held_up.connections.values())
                said.append(f"{count} event(s) can't be read yet and wait for {held_up.by}")
        return "; ".join(said) or "nothing waits"


class _Received:
    """Waits for events by their numbers, which costs next to nothing however many connections there are."""

    def __init__(self, db: Database, sources: Collection[str], pulse: int | None) -> None:
        self._db = db
        self._sources = sources
        self._pulse = pulse
        self._keen_until = 0.0

    async def wait(self, seconds: float) -> None:
        """Wait until the inbox is worth a look: an event was received a moment ago, or none for a while.

        Args:
            seconds: That while.
        """
        until = time.monotonic() + seconds
        while True:
            pulse = await backlog.pulse(self._db, self._sources)
            now = time.monotonic()
            if pulse != self._pulse:
                self._pulse, self._keen_until = pulse, now + _KEEN_SECONDS
            if now < self._keen_until or now >= until:
                return
            await asyncio.sleep(until - now if pulse is None else min(until - now, _PULSE_SECONDS))
