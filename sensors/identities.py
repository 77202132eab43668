"""Has identities resolved: asks for a run of each workspace whose customers, links or decisions changed.

It reads the feed of changes that syncs and drains write, so it does not matter which of them brought a change, and a
commit that comes late is not overlooked. It also keeps the partitions equal to the workspaces.
"""

import asyncio
from datetime import UTC, datetime

import dagster as dg

from resources.store import DatabaseResource
from sensors.watching import watch
from unified.kit.registry import discover_adapters
from unified.schema.entities import CUSTOMERS
from unified.store.database import Database
from unified.store.identities import golden as identities
from unified.store.identities.golden import Due
from unified.store.workspaces import workspaces
from unified_assets.identities import KEY
from unified_assets.partitions import WORKSPACES, difference
from unified_assets.schedules import running_partitions

# Asked for by one tick; the next one asks for more.
_MOST = 100
_LOOK_SECONDS = 30.0


def identities_sensor() -> dg.SensorDefinition:
    """The sensor of all workspaces."""

    @dg.sensor(
        name="identities",
        asset_selection=dg.AssetSelection.assets(KEY),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of each workspace whose customers changed since they were resolved.",
    )
    def ask(
        context: dg.SensorEvaluationContext, database: DatabaseResource
    ) -> dg.SensorResult | dg.SkipReason:
        async def look(db: Database) -> dg.SensorResult | None:
            wanted = {workspace.slug for workspace in await workspaces.listed(db)}
            async with db.scheduler() as conn:
                found = await identities.due(conn, _customer_streams())
            return await asyncio.to_thread(_asked, context.instance, wanted, found)

        return watch(database, look, _LOOK_SECONDS) or dg.SkipReason(
            "nothing changed since it was resolved, or a run is under way"
        )

    return ask


def _asked(instance: dg.DagsterInstance, wanted: set[str], found: list[Due]) -> dg.SensorResult | None:
    """What is to be asked of Dagster; None where that is nothing."""
    known = set(WORKSPACES.get_partition_keys(dynamic_partitions_store=instance))
    requests = difference(WORKSPACES, known, wanted)
    ready = (known & wanted) - running_partitions(instance)
    at = datetime.now(UTC).isoformat()
    # The time makes the key new at each tick: Dagster never runs a key twice, not even one that failed.
    runs = [
        dg.RunRequest(run_key=f"{due.workspace}@{at}", partition_key=due.workspace)
        for due in found
        if due.workspace in ready
    ][:_MOST]
    if not runs and not requests:
        return None
    return dg.SensorResult(run_requests=runs, dynamic_partitions_requests=requests)


def _customer_streams() -> set[str]:
    return {
        stream.name
        for adapter in discover_adapters().values()
        for stream in adapter.all_streams()
        if stream.entity is CUSTOMERS
    }
