"""One job per source that drains its inbox, for all connections in one run, and says which tables it touched.

A run costs seconds to start and an event must not, so a run stays for a while when it is done: what comes in that time
is in the tables at once. The sensor that asks for these runs is in `sensors.inbox`.
"""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import dagster as dg
from pydantic import Field

from resources.adapters import AdaptersResource
from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.sync.connection_drain import DrainResult
from unified.sync.drain import drain
from unified_assets.interrupts import interruptible
from unified_assets.observing.columns import table_metadata
from unified_assets.partitions import DATA_VERSION_TAG, connections_of
from unified_assets.sources import failures

REPORT_SECONDS = 30.0
"""While events keep coming, the work is reported to Dagster so often."""

# Before syncs in the queue. Nor does Dagster repeat a drain that crashed: the sensor sees that events still wait.
_TAGS = {"dagster/priority": "10", "dagster/max_retries": "0", "dagster-celery/queue": "drains"}


class DrainConfig(dg.Config):
    """How long a drain stays; the launchpad shows these."""

    linger_seconds: float = Field(
        default=15.0, ge=0, description="End once nothing has come for so long; 0 ends when nothing waits."
    )
    time_limit_minutes: float = Field(
        default=10.0, gt=0, description="End then, even if events keep coming; the next drain goes on."
    )


def takes_webhooks(adapter: type[BaseAdapter[Any]]) -> bool:
    """Whether a connector has an inbox at all."""
    return bool(adapter.verifiers)


def lease_of(source: str) -> str:
    """The name of the lock (`Database.exclusive`) that a source's drain run holds while it lives."""
    return f"drain/{source}"


def delivered_assets(adapter: type[BaseAdapter[Any]]) -> list[dg.AssetSpec]:
    """One asset for each stream that no request lists: nothing pulls it, drains alone report on it."""
    return [
        dg.AssetSpec(
            [adapter.name, stream.name],
            description=(
                f"{adapter.display_name} {stream.name}, as webhooks bring them. "
                f"Table `{stream.entity.leaf(adapter.name)}`."
            ),
            group_name=adapter.name,
            kinds={adapter.name, "postgres"},
            partitions_def=connections_of(adapter.name),
            metadata=table_metadata(stream.entity, adapter.name),
        )
        for stream in adapter.delivered_streams
    ]


def drain_job(adapter: type[BaseAdapter[Any]]) -> dg.JobDefinition:
    """The job that applies what waits in the inboxes of a source's connections."""
    source = adapter.name

    @dg.op(name=f"drain_{source}_inbox", out=dg.Out(dg.Nothing))
    async def drain_inbox(
        context: dg.OpExecutionContext,
        config: DrainConfig,
        database: DatabaseResource,
        adapters: AdaptersResource,
    ) -> None:
        until = time.monotonic() + config.time_limit_minutes * 60
        totals = _Totals()
        with interruptible(context.run.run_id), failures():
            async with database.open() as db, db.exclusive(lease_of(source)) as is_ours:
                factory = adapters.factory(db, actor=f"dagster run {context.run.run_id}")
                goes_on = is_ours
                while goes_on:
                    started = time.monotonic()
                    span = min(REPORT_SECONDS, until - started)
                    results = await drain(db, factory, source, linger=config.linger_seconds, time_limit=span)
                    for result in results:
                        totals.add(result)
                        _tell(context, source, result)
                    # Shorter than that means that it was quiet for long enough.
                    goes_on = started + span <= time.monotonic() < until
        if not is_ours:
            context.log.info("another run drains %s; nothing to do here", source)
        context.add_output_metadata(totals.metadata())

    @dg.job(
        name=f"{source}_drain",
        executor_def=dg.in_process_executor,
        tags=_TAGS,
        description=f"Apply received webhooks of all {adapter.display_name} connections.",
    )
    def drain_source() -> None:
        drain_inbox()

    return drain_source


class _Totals:
    """What a run did over all connections and rounds."""

    def __init__(self) -> None:
        self._connections: set[str] = set()
        self._counts = dict.fromkeys(("events", "retried", "dead_letters", "requests"), 0)
        self._oldest = 0.0

    def add(self, result: DrainResult) -> None:
        self._connections.add(result.connection)
        self._oldest = max(self._oldest, result.oldest_wait)
        for name, count in _counts(result).items():
            self._counts[name] += count

    def metadata(self) -> dict[str, Any]:
        return {
            "connections": len(self._connections),
            **self._counts,
            "oldest_event_seconds": round(self._oldest, 2),
        }


def _counts(result: DrainResult) -> dict[str, int]:
    return {
        "events": result.events,
        "retried": result.retried,
        "dead_letters": result.failed,
        "requests": result.requests,
    }


def _tell(context: dg.OpExecutionContext, source: str, result: DrainResult) -> None:
    """Report what happened to one connection's tables."""
    for event in _asset_events(source, result):
        context.log_event(event)
    if result.held:
        context.log.warning(
            "%s: %d event(s) can't be read yet; they wait for %s",
            result.connection,
            result.held,
            result.held_by,
        )
    line = (
        f"{result.connection}: {result.events} event(s) applied, the oldest after {result.oldest_wait:.1f} s"
    )
    if result.error or result.failed:
        reason = f"; {result.error}" if result.error else ""
        context.log.warning("%s; %d set aside as dead letters%s", line, result.failed, reason)
    else:
        context.log.info(line)


def _asset_events(
    source: str, result: DrainResult
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """A materialization of each table that was changed, an observation of each that was as it had to be."""
    for stream, counts in result.counts.items():
        is_changed = counts.inserted + counts.updated + counts.deleted > 0
        kind = dg.AssetMaterialization if is_changed else dg.AssetObservation
        yield kind(
            asset_key=dg.AssetKey([source, stream]),
            partition=result.connection,
            tags={DATA_VERSION_TAG: str(uuid4())} if is_changed else None,
            metadata={
                "mode": "webhooks",
                **_counts(result),
                "oldest_event_seconds": round(result.oldest_wait, 2),
                "inserted": counts.inserted,
                "updated": counts.updated,
                "unchanged": counts.unchanged,
                "deleted": counts.deleted,
                "rejected": counts.rejected,
                "with_unusable_fields": counts.unusable,
                "suppressed": counts.suppressed,
            },
        )
