"""The check ``fresh`` of each connection: whether it syncs as often as it should.

Dagster's freshness policy is one per asset, and an asset is fresh as soon as any of its partitions is: one busy
connection, or a webhook of it, hides all that are silent. So each stream has a check with an outcome per connection.
`sensors.freshness` reports when a connection falls silent and when it is back; a run of the check looks at once, of
a partition or, as Dagster runs a check by itself without one, at all connections.
"""

import asyncio
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from resources.storage import one_transaction
from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.kit.registry import get_adapter
from unified.store.connections.registry import Registry
from unified.store.connections.rows import SILENT_INTERVALS, ConnectionSummary
from unified_assets.partitions import connections_of

FRESH = "fresh"
JOB = "connections_fresh"

_NAMED = 20


def fresh_keys(adapter: type[BaseAdapter[Any]]) -> list[dg.AssetCheckKey]:
    """The checks, one for each stream; a sync does not run them."""
    return [dg.AssetCheckKey(dg.AssetKey([adapter.name, stream.name]), FRESH) for stream in adapter.streams]


def fresh_check(adapter: type[BaseAdapter[Any]]) -> dg.AssetChecksDefinition:
    """The checks of all streams of a source, in one step: of a partition's connection, or without one of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of partitions_def, new in Dagster 1.13
        specs = [
            dg.AssetCheckSpec(
                key.name,
                asset=key.asset_key,
                description="The connection's last successful sync is no longer ago than twice its interval.",
                partitions_def=connections_of(adapter.name),
            )
            for key in fresh_keys(adapter)
        ]

    @dg.multi_asset_check(name=f"{adapter.name}_fresh", specs=specs, can_subset=True)
    def look(
        context: dg.AssetCheckExecutionContext, database: DatabaseResource
    ) -> Iterator[dg.AssetCheckResult]:
        key = context.partition_key if context.has_partition_key else None
        connections = asyncio.run(_connections(database, adapter.name, key))
        now = datetime.now(UTC)
        found = [one for connection in connections for one in evaluations(connection, now)]
        for check in context.selected_asset_check_keys:
            silent = [one for one in found if one.asset_check_key == check and not one.passed]
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=not silent,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(str(one.description) for one in silent[:_NAMED]) or None,
                metadata={"connections": len(connections), "silent": len(silent)},
            )

    return look


class TurnedConfig(dg.Config):
    """Whom to look at."""

    connections: list[str] = Field(description="Connections that fell silent or are back, as workspace/name.")


def freshness_job() -> dg.JobDefinition:
    """The job that reports the checks of connections that fell silent, or are back.

    Dagster keeps one outcome of a check and partition for each run, and a single one that no run reported.
    """

    @dg.op(out=dg.Out(dg.Nothing))
    def report_turned(
        context: dg.OpExecutionContext, config: TurnedConfig, database: DatabaseResource
    ) -> None:
        now = datetime.now(UTC)
        found = [one for one in asyncio.run(_all(database)) if one.key in config.connections]
        with one_transaction(context.instance):
            for connection in found:
                for evaluation in evaluations(connection, now):
                    context.log_event(evaluation)  # type: ignore[arg-type]  # it takes them, and does not say so

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        tags={"dagster/max_retries": "0"},
        description="Report the check `fresh` of connections that fell silent, or are back.",
    )
    def report() -> None:
        report_turned()

    return report


def evaluations(connection: ConnectionSummary, now: datetime) -> Iterator[dg.AssetCheckEvaluation]:
    """Whether a connection is fresh, of each stream of its source."""
    adapter = get_adapter(connection.connector)
    reads = adapter.chosen(connection.streams)
    silence = silence_of(connection, now)
    for stream in adapter.streams:
        is_read = stream in reads
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([adapter.name, stream.name]),
            check_name=FRESH,
            passed=silence is None or not is_read,
            severity=dg.AssetCheckSeverity.WARN,
            description=silence if is_read else "The connection does not read this stream.",
            metadata={
                "last_sync": _moment(connection.last_sync_at),
                "interval": str(connection.sync_interval),
            },
            partition=connection.key,
        )


def silence_of(connection: ConnectionSummary, now: datetime) -> str | None:
    """What to say of a connection that has not synced for too long; None of one that is fresh.

    One that is paused, not approved, or waits for a person to authorize it is not silent.
    """
    last = connection.last_sync_at or connection.created_at
    is_expected = connection.is_active and connection.approval == "approved" and not connection.needs_reauth
    if not is_expected or now - last <= SILENT_INTERVALS * connection.sync_interval:
        return None
    state = (
        "has not synced successfully since"
        if connection.last_sync_at
        else "has never synced; it was added on"
    )
    reason = f" The last error: {connection.error_message}" if connection.error_message else ""
    return (
        f"{connection.key} {state} {last:%Y-%m-%d at %H:%M %Z}, and should every {connection.sync_interval}; "
        f"`unified sync {connection.key}` tries it now.{reason}"
    )


async def _connections(
    database: DatabaseResource, source: str, key: str | None
) -> Sequence[ConnectionSummary]:
    """The one of that key; without one all of a source."""
    if key is None:
        return [one for one in await _all(database) if one.connector == source]
    async with database.open() as db:
        return [await Registry(db).find(key)]


async def _all(database: DatabaseResource) -> Sequence[ConnectionSummary]:
    async with database.open() as db:
        return await Registry(db).all_connections()


def _moment(at: datetime | None) -> Any:
    return dg.MetadataValue.timestamp(at) if at else dg.MetadataValue.text("never")
