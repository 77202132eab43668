"""Warns of connections that have not synced for too long, each by its own interval, once a day.

Dagster's freshness policy is one per asset, and an asset is fresh as soon as any of its partitions is: one busy
connection, or a webhook of it, hides all that are silent.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from resources.store import CredentialStoreResource, DatabaseResource
from sensors.alerts import warn_daily
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary

# A sync may be late once: by its interval, and by as long as it may take.
SILENT_INTERVALS = 2


def freshness_sensor() -> dg.SensorDefinition:
    """The sensor of all connections' last syncs."""

    @dg.sensor(
        name="silent_connections",
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Warns once a day of each connection whose last successful sync is longer ago than twice its "
        "interval, also by an alert.",
    )
    def warn(
        context: dg.SensorEvaluationContext, database: DatabaseResource, credentials: CredentialStoreResource
    ) -> dg.SensorResult:
        silent = silent_connections(asyncio.run(_connections(database)), datetime.now(UTC))
        return warn_daily(context, silent, f"{len(silent)} connection(s) are silent", database, credentials)

    return warn


def silent_connections(connections: Sequence[ConnectionSummary], now: datetime) -> dict[str, str]:
    """Warnings by connection. One that is paused, not approved, or waits for a person to authorize it is not silent."""
    found = {}
    for one in connections:
        last = one.last_sync_at or one.created_at
        is_expected = one.is_active and one.approval == "approved" and not one.needs_reauth
        if is_expected and now - last > SILENT_INTERVALS * one.sync_interval:
            state = (
                "has not synced successfully since"
                if one.last_sync_at
                else "has never synced; it was added on"
            )
            reason = f" The last error: {one.error_message}" if one.error_message else ""
            found[one.key] = (
                f"{one.key} {state} {last:%Y-%m-%d at %H:%M %Z}, and should every {one.sync_interval}; "
                f"`unified sync {one.key}` tries it now.{reason}"
            )
    return found


async def _connections(database: DatabaseResource) -> Sequence[ConnectionSummary]:
    async with database.open() as db:
        return await Registry(db).all_connections()
