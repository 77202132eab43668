"""Counters and gauges for Prometheus: of the server what it answered, of the database what waits in it.

With several workers (``PROMETHEUS_MULTIPROC_DIR``) whichever is scraped shows the counts of all. No label holds an id
or a tenant's name.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from unified.kit.registry import discover_adapters
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.inbox import backlog, horizon
from unified.store.inbox.events import Received
from unified.store.inbox.strays import Stray

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# About the aims: 50 ms for a read of the API, a second for anything.
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

# Why a delivery was turned away, by the status that said so (`unified.api.ingress.answers`).
_REASONS = {
    400: "unreadable",
    401: "unknown",
    405: "no_post",
    413: "too_large",
    415: "compressed",
    429: "flood",
    503: "busy",
}

# What waits is counted no more often than this, however many scrape.
_LOOK_SECONDS = 10.0

# When a series began, as a second one beside each: nothing here needs it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(Collector):
    """The metrics of one server."""

    def __init__(self, db: Database) -> None:
        """Count from now on; ask ``db`` what waits."""
        self._db = db
        self._waiting: list[Metric] = []
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()
        counted = CollectorRegistry()
        events = Counter(
            "unified_ingress_events",
            "Events delivered, by outcome.",
            ["outcome"],
            registry=counted,
        )
        refused = Counter(
            "unified_ingress_refused", "Deliveries turned away, by reason.", ["reason"], registry=counted
        )
        self._accepted, self._duplicate = events.labels("accepted"), events.labels("duplicate")
        self._stray = events.labels("stray")
        self._refused = {status: refused.labels(reason) for status, reason in _REASONS.items()}
        self._deliveries = Counter("unified_ingress_deliveries", "Deliveries answered.", registry=counted)
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._requests = Histogram(
            "unified_api_request_seconds",
            "Requests of the API by route, method and status, and how long they took.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=counted,
        )
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            self._prometheus = CollectorRegistry()
            MultiProcessCollector(self._prometheus)  # type: ignore[no-untyped-call]
        else:
            self._prometheus = counted
        self._prometheus.register(self)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request of the API; ``route`` is a template, not a path."""
        series = (method, route, status)
        if (observed := self._series.get(series)) is None:
            observed = self._series[series] = self._requests.labels(*series)
        observed.observe(seconds)

    def delivery(self, status: int) -> None:
        """Count a delivery that was answered."""
        self._deliveries.inc()
        if refused := self._refused.get(status):
            refused.inc()

    def counted(
        self, write: Callable[[Sequence[Received]], Awaitable[int]]
    ) -> Callable[[Sequence[Received]], Awaitable[int]]:
        """What writes to the inbox, counted: events that were new, and those that came before."""

        async def count(rows: Sequence[Received]) -> int:
            new = await write(rows)
            self._accepted.inc(new)
            self._duplicate.inc(len(rows) - new)
            return new

        return count

    def strayed(
        self, write: Callable[[Sequence[Stray]], Awaitable[None]]
    ) -> Callable[[Sequence[Stray]], Awaitable[None]]:
        """What notes events that belong to no connection, counted."""

        async def count(strays: Sequence[Stray]) -> None:
            await write(strays)
            self._stray.inc(len(strays))

        return count

    async def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        async with self._looking:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at >= _LOOK_SECONDS:
                self._waiting = await self._look()
                self._looked_at = now
        return generate_latest(self._prometheus)

    def collect(self) -> Iterator[Metric]:
        """What was last seen waiting."""
        yield from self._waiting

    async def _look(self) -> list[Metric]:
        """What waits in the database; where it can't be asked the gauges are absent, and the counters stay."""
        depth = GaugeMetricFamily(
            "unified_inbox_events",
            f"Events that wait to be applied, counted up to {backlog.MOST_COUNTED} a connection.",
            labels=["connector"],
        )
        age = GaugeMetricFamily(
            "unified_inbox_oldest_seconds", "Age of the oldest of them.", labels=["connector"]
        )
        held = GaugeMetricFamily(
            "unified_inbox_held_events",
            "Events that can't be read yet, because a transaction is open somewhere on the server "
            "(`unified doctor` names it).",
            labels=["connector"],
        )
        held_age = GaugeMetricFamily(
            "unified_inbox_held_oldest_seconds", "Age of the oldest of them.", labels=["connector"]
        )
        states = GaugeMetricFamily(
            "unified_connections", "Connections by connector and state.", labels=["connector", "state"]
        )
        now = datetime.now(UTC)
        try:
            for connector in discover_adapters():
                waiting = await backlog.waiting(self._db, connector, now)
                depth.add_metric([connector], sum(one.events for one in waiting))
                oldest = min((one.oldest_at for one in waiting if one.oldest_at), default=now)
                age.add_metric([connector], max((now - oldest).total_seconds(), 0.0))
                async with self._db.scheduler() as conn:
                    held_up = await horizon.held_up(conn, connector)
                behind = held_up.connections.values() if held_up else ()
                held.add_metric([connector], sum(one.events for one in behind))
                oldest = min((one.oldest_at for one in behind), default=now)
                held_age.add_metric([connector], max((now - oldest).total_seconds(), 0.0))
            for labels, count in (await Registry(self._db).states()).items():
                states.add_metric(labels, count)
        except StoreError:
            return []
        return [depth, age, held, held_age, states]
