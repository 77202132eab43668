"""The front door: everything that Dagster loads."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from resources.adapters import AdaptersResource
from resources.files import FilesIOManager
from resources.store import CredentialStoreResource, DatabaseResource
from resources.tables import TablesIOManager
from sensors.connections import connections_sensor
from sensors.expiry import expiry_sensor
from sensors.failures import failures_sensor
from sensors.freshness import freshness_sensor
from sensors.identities import identities_sensor
from sensors.inbox import inbox_sensor
from sensors.loads import loads_sensor
from sensors.requests import requests_sensor
from sensors.retention import retention_sensor
from sensors.routes import routes_sensor
from sensors.subscriptions import subscriptions_sensor
from unified import logs
from unified.kit.registry import discover_adapters
from unified.store.connectors import installed
from unified_assets.derived import monthly_revenue
from unified_assets.drains import delivered_assets, drain_job, takes_webhooks
from unified_assets.identities import identities_asset
from unified_assets.observing.freshness import fresh_check, freshness_job
from unified_assets.rounds import round_job
from unified_assets.routes import route_asset, route_job
from unified_assets.schedules import source_job, source_schedule
from unified_assets.sources import source_assets
from unified_assets.subscriptions import deliver_job

# Dagster itself passes it on where a sensor has several jobs, and would say so at each start.
warnings.filterwarnings("ignore", "Parameter `owners` of initializer `SensorDefinition", dg.BetaWarning)


def build_definitions(*own: dg.Definitions, resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assets, jobs, schedules and sensors of all adapters, documents included, and those of a user's project.

    Args:
        own: The project's assets, checks, jobs, schedules, sensors and resources. They may use the resources below:
            ``io_manager_key="tables"`` gives and takes pandas frames, ``"files"`` those of Parquet files.
        resources: Taken instead of the product's of the same name.

    Raises:
        DagsterInvariantViolationError: If two of the definitions have different resources of one name, or ``own``
            has an executor.
    """
    return dg.Definitions.merge(_product(resources or {}), *own)


def _product(replaced: Mapping[str, Any]) -> dg.Definitions:
    installed.load()
    if logs.chosen() == "json":
        logs.configure()
    adapters = list(discover_adapters().values())
    polled = [adapter for adapter in adapters if adapter.streams]
    jobs = {adapter.name: source_job(adapter) for adapter in polled}
    rounds = {adapter.name: round_job(adapter) for adapter in polled}
    drains = {adapter.name: drain_job(adapter) for adapter in adapters if takes_webhooks(adapter)}
    database = DatabaseResource()
    credentials = CredentialStoreResource()
    return dg.Definitions(
        assets=[
            *(asset for adapter in adapters for asset in source_assets(adapter)),
            *(asset for adapter in adapters for asset in delivered_assets(adapter)),
            monthly_revenue,
            route_asset(adapters),
            identities_asset(adapters),
        ],
        asset_checks=[fresh_check(adapter) for adapter in polled],
        jobs=[
            *jobs.values(),
            *rounds.values(),
            *drains.values(),
            route_job(),
            deliver_job(),
            freshness_job(),
        ],
        schedules=[source_schedule(adapter, rounds[adapter.name]) for adapter in polled],
        sensors=[
            connections_sensor(adapters),
            inbox_sensor(drains),
            loads_sensor(polled, jobs),
            requests_sensor(polled, jobs),
            identities_sensor(),
            retention_sensor(),
            routes_sensor(),
            subscriptions_sensor(),
            failures_sensor(),
            expiry_sensor(),
            freshness_sensor(),
            dg.AutomationConditionSensorDefinition(
                "derived_assets",
                target=dg.AssetSelection.all(),
                default_status=dg.DefaultSensorStatus.RUNNING,
                minimum_interval_seconds=30,
            ),
        ],
        resources={
            "database": database,
            "credentials": credentials,
            "adapters": AdaptersResource(credentials=credentials),
            "tables": TablesIOManager(database=database),
            "files": FilesIOManager(),
            **replaced,
        },
        executor=dg.in_process_executor,
    )


defs = build_definitions()
