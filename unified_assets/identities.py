"""The asset `unified/customers`: each workspace's customers across all its sources, one golden customer each."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import dagster as dg
from pydantic import Field

from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.schema.entities import CUSTOMERS
from unified.store.identities import golden as identities
from unified.store.lists.declared import LISTS
from unified.store.records.tables import column_type
from unified.store.workspaces import workspaces
from unified.sync.identities.resolve import resolve
from unified_assets.interrupts import interruptible
from unified_assets.observing.columns import lineage
from unified_assets.partitions import WORKSPACES
from unified_assets.sources import FRESHNESS, RETRIES, failures

KEY = dg.AssetKey(["unified", "customers"])
COMPLETE = "every_customer_once"


class IdentitiesConfig(dg.Config):
    """How to resolve; the launchpad shows this."""

    full: bool = Field(default=False, description="Look at all customers instead of those that changed.")


def identities_asset(adapters: Iterable[type[BaseAdapter[Any]]]) -> dg.AssetsDefinition:
    """The asset that resolves a workspace.

    Its partitions are workspaces: an identity spans a workspace's connections, and never two workspaces. The sensor in
    `sensors.identities` asks for runs; an automation condition would have to map each connection to its workspace.
    """
    customers = [
        dg.AssetDep([adapter.name, stream.name], partition_mapping=dg.AllPartitionMapping())
        for adapter in adapters
        for stream in adapter.all_streams()
        if stream.entity is CUSTOMERS
    ]

    @dg.asset(
        key=KEY,
        deps=customers,
        description=(
            "Customers across sources: which records are one, and the best of what they say. "
            "Tables `customer_identities` and `golden_customers`."
        ),
        group_name="unified",
        kinds={"postgres"},
        partitions_def=WORKSPACES,
        retry_policy=RETRIES,
        freshness_policy=FRESHNESS,
        check_specs=[
            dg.AssetCheckSpec(
                COMPLETE,
                asset=KEY,
                blocking=True,
                description="Each record is in one identity, and each identity has a golden customer.",
            )
        ],
        metadata={"dagster/table_name": "golden_customers", **_columns(customers)},
    )
    async def resolve_customers(
        context: dg.AssetExecutionContext, config: IdentitiesConfig, database: DatabaseResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare name only
        with interruptible(context.run.run_id), failures():
            async with database.open() as db:
                workspace = await workspaces.find(db, context.partition_key)
                progress = await resolve(db, workspace.id, full=config.full)
                async with db.workspace(workspace.id) as conn:
                    counts = await identities.counts(conn)
                    refused = await identities.refused_groups(conn, limit=10)
        missing = counts.records - counts.resolved + counts.without_golden
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": counts.identities,
                "records": counts.records,
                **asdict(progress),
                "refused_groups": [f"{group.records} records, as {group.group_id}" for group in refused],
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=COMPLETE,
                    passed=missing == 0,
                    metadata={"records": counts.records, "resolved": counts.resolved},
                )
            ],
        )

    return resolve_customers


def _columns(customers: Iterable[dg.AssetDep]) -> dict[str, Any]:
    """Each column of golden customers, and the columns of customers that it is the best of."""
    shown = LISTS["identities"].item.model_fields
    reads = {
        name: [(one.asset_key, name) for one in customers]
        for name in shown
        if name in CUSTOMERS.model.model_fields
    }
    types = {name: column_type(info.annotation, info.metadata) for name, info in shown.items()}
    columns = [dg.TableColumn(name, types[name], info.description) for name, info in shown.items()]
    return {"dagster/column_schema": dg.TableSchema(columns), **lineage(reads)}
