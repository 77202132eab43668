"""Counters and gauges for Prometheus: of this process what it answered, of the database what waits in it.

On the ingress's path a count is an addition to a dictionary; the rest is done when somebody scrapes. No label holds an
id or a tenant's name.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adapters.registry import list_adapters
from store import inbox
from store.database import Database
from store.errors import StoreError
from store.inbox import Received
from store.registry import Registry

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# About the aims: 50 ms for a read of the API, a second for anything.
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

# Why a delivery was turned away, by the status that said so (`api.answers`).
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


class Metrics(Collector):
    """The metrics of one process."""

    def __init__(self, db: Database) -> None:
        """Count from now on; ask ``db`` what waits."""
        self._db = db
        self._deliveries: Counter[int] = Counter()
        self._events: Counter[str] = Counter()
        self._waiting: list[Metric] = []
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()
        self._prometheus = CollectorRegistry()
        self._prometheus.register(self)
        self._series: dict[tuple[str, str, int], Histogram] = {}
        self._requests = Histogram(
            "unified_api_request_seconds",
            "Requests of the API by route, method and status, and how long they took.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self._prometheus,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request of the API; ``route`` is a template, not a path."""
        series = (method, route, status)
        if (observed := self._series.get(series)) is None:
            observed = self._series[series] = self._requests.labels(*series)
        observed.observe(seconds)

    def delivery(self, status: int) -> None:
        """Count a delivery that was answered."""
        self._deliveries[status] += 1

    def counted(
        self, write: Callable[[Sequence[Received]], Awaitable[int]]
    ) -> Callable[[Sequence[Received]], Awaitable[int]]:
        """What writes to the inbox, counted: events that were new, and those that came before."""

        async def count(rows: Sequence[Received]) -> int:
            new = await write(rows)
            self._events["accepted"] += new
            self._events["duplicate"] += len(rows) - new
            return new

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
        """What this process counted in dictionaries, and what it last saw waiting."""
        events = CounterMetricFamily(
            "unified_ingress_events", "Events delivered, by what became of them.", labels=["outcome"]
        )
        for outcome in ("accepted", "duplicate"):
            events.add_metric([outcome], self._events[outcome])
        yield events
        refused = CounterMetricFamily(
            "unified_ingress_refused", "Deliveries turned away, by reason.", labels=["reason"]
        )
        for status, reason in _REASONS.items():
            refused.add_metric([reason], self._deliveries[status])
        yield refused
        deliveries = CounterMetricFamily("unified_ingress_deliveries", "Deliveries answered.")
        deliveries.add_metric([], sum(self._deliveries.values()))
        yield deliveries
        yield from self._waiting

    async def _look(self) -> list[Metric]:
        """What waits in the database; where it can't be asked the gauges are absent, and the counters stay."""
        depth = GaugeMetricFamily(
            "unified_inbox_events",
            f"Events that wait to be applied, counted up to {inbox.MOST_COUNTED} a connection.",
            labels=["connector"],
        )
        age = GaugeMetricFamily(
            "unified_inbox_oldest_seconds", "Age of the oldest of them.", labels=["connector"]
        )
        states = GaugeMetricFamily(
            "unified_connections", "Connections by connector and state.", labels=["connector", "state"]
        )
        now = datetime.now(UTC)
        try:
            for connector in list_adapters():
                waiting = await inbox.waiting(self._db, connector, now)
                depth.add_metric([connector], sum(one.events for one in waiting))
                oldest = min((one.oldest_at for one in waiting if one.oldest_at), default=now)
                age.add_metric([connector], max((now - oldest).total_seconds(), 0.0))
            for labels, count in (await Registry(self._db).states()).items():
                states.add_metric(labels, count)
        except StoreError:
            return []
        return [depth, age, states]
