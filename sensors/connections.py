"""Keeps Dagster's partitions equal to the registry: one per connection, per source."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import watch
from unified.kit.adapter import BaseAdapter
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified_assets.partitions import PartitionsRequest, connections_of, difference, partition_keys

_LOOK_SECONDS = 10.0


def connections_sensor(adapters: Iterable[type[BaseAdapter[Any]]]) -> dg.SensorDefinition:
    """The sensor that adds and removes partitions of all sources."""
    sources = [adapter.name for adapter in adapters]

    @dg.sensor(
        name="connections",
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each new connection and removes those of connections that are gone.",
    )
    def sync_partitions(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        # Sources without partitions when this tick looked before: with no connection either, there is nothing to ask.
        empty: set[str] = set()

        async def look(db: Database) -> dg.SensorResult | None:
            registered = defaultdict(set)
            for connector, key in await Registry(db).all_keys():
                registered[connector].add(key)
            requests: list[PartitionsRequest] = []
            for source in sources:
                wanted = registered[source]
                if source in empty and not wanted:
                    continue
                known = await asyncio.to_thread(partition_keys, context.instance, source)
                if not known:
                    empty.add(source)
                requests += difference(connections_of(source), known, wanted)
            return dg.SensorResult(dynamic_partitions_requests=requests) if requests else None

        return watch(database, look, _LOOK_SECONDS) or dg.SkipReason("partitions and connections agree")

    return sync_partitions
