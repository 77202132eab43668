"""Keeps Dagster's partitions equal to the registry: one per connection, per source."""

import asyncio
from collections.abc import Iterable
from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified_assets.partitions import connections_of, partition_keys


def connections_sensor(adapters: Iterable[type[BaseAdapter[Any]]]) -> dg.SensorDefinition:
    """The sensor that adds and removes partitions of all sources."""
    sources = [adapter.name for adapter in adapters]

    @dg.sensor(
        name="connections",
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each new connection and removes those of connections that are gone.",
    )
    def sync_partitions(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        registered = asyncio.run(_registered(database))
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
        for source in sources:
            partitions = connections_of(source)
            known = partition_keys(context.instance, source)
            wanted = {connection.key for connection in registered if connection.connector == source}
            # Only the difference: Dagster checks added keys one by one.
            if added := sorted(wanted - known):
                requests.append(partitions.build_add_request(added))
            if removed := sorted(known - wanted):
                requests.append(partitions.build_delete_request(removed))
        if not requests:
            return dg.SkipReason("partitions and connections agree")
        return dg.SensorResult(dynamic_partitions_requests=requests)

    return sync_partitions


async def _registered(database: DatabaseResource) -> list[ConnectionSummary]:
    async with database.open() as db:
        return await Registry(db).all_connections()
