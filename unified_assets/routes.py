"""The asset of all routes, ``routes/customers``: a partition a route, each of whose materializations is one push.

Which routes have something to push is seen by `sensors.routes`.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg
from pydantic import Field

from resources.adapters import AdaptersResource
from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.schema.entities import CUSTOMERS
from unified.store.database import Database
from unified.store.routes import review
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.sync.routes.push import RouteResult
from unified.sync.routes.run import run_route
from unified_assets.interrupts import interruptible
from unified_assets.sources import RETRIES, failures

JOB = "routes_push"
routes = dg.DynamicPartitionsDefinition(name="routes")
"""The partitions; a key is ``workspace/route:name``."""


class PushConfig(dg.Config):
    """How to run a route; the launchpad shows these."""

    retry_refused: bool = Field(
        default=False, description="Try what was refused before again, also where it has not changed."
    )
    time_limit_minutes: float = Field(
        default=30.0, gt=0, description="Begin no more records then; the next run goes on from there."
    )


def route_asset(adapters: Iterable[type[BaseAdapter[Any]]]) -> dg.AssetsDefinition:
    """The asset of all routes, which stand after the customers of all sources."""

    @dg.asset(
        key=["routes", CUSTOMERS.name],
        # A route's partition depends on those of its two connections, which no partition mapping can say: it would have
        # to ask the database. That is the sensor's; here stands what a person should see.
        deps=[
            dg.AssetDep(dg.AssetKey([adapter.name, stream.name]), partition_mapping=dg.AllPartitionMapping())
            for adapter in adapters
            for stream in adapter.all_streams()
            if stream.entity is CUSTOMERS
        ],
        description="Customers that changed at one connection, pushed to another. Table `pushed_records`.",
        group_name="routes",
        kinds={"postgres"},
        partitions_def=routes,
        retry_policy=RETRIES,
        metadata={"dagster/table_name": "pushed_records"},
    )
    async def push_customers(
        context: dg.AssetExecutionContext,
        config: PushConfig,
        database: DatabaseResource,
        adapters: AdaptersResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name only
        with interruptible(context.run.run_id), failures():
            async with database.open() as db:
                route = await Routes(db).find(context.partition_key)
                result = await run_route(
                    db,
                    adapters.factory(db, actor=f"dagster run {context.run.run_id}"),
                    route,
                    retry_refused=config.retry_refused,
                    time_limit=config.time_limit_minutes * 60,
                )
                context.log.info(_summary(result))
                return dg.MaterializeResult(metadata=await _describe(db, route, result))

    return push_customers


def route_job() -> Any:
    """The job that runs one route."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(["routes", CUSTOMERS.name]),
        executor_def=dg.in_process_executor,
        description="Push what changed along one route.",
    )


async def _describe(db: Database, route: Route, result: RouteResult) -> dict[str, Any]:
    """What one materialization did, and how the route stands after it."""
    async with db.workspace(route.workspace_id) as conn:
        standing = await review.counts(conn, route)
    return {
        "source": route.source,
        "target": route.target,
        **result.counts(),
        "is_complete": result.is_complete,
        "seconds": round(result.seconds, 2),
        "rate_limit_waited_seconds": round(result.rate_limit_waited, 2),
        "linked": standing.get("linked", 0),
        "unlinked": standing.get("unlinked", 0),
        "refused_in_all": standing.get("refused", 0),
        "waiting_for_review_in_all": standing.get("review", 0),
    }


def _summary(result: RouteResult) -> str:
    """One line for people about what a run did."""
    line = (
        f"{result.route}: {result.looked_at} looked at, {result.created} created, {result.updated} updated, "
        f"{result.deleted} deleted, {result.unchanged} unchanged, {result.refused} refused, {result.waiting} waiting, "
        f"{result.left_out} left out in {result.seconds:.1f} s with {result.requests} requests"
    )
    return line if result.is_complete else f"{line}; not complete, the next run goes on from here"
