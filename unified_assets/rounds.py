"""One job per source that syncs all of its connections that are due, in one run, and reports on each.

Starting a run costs a hundred times what syncing a connection costs that has not changed. The schedule that asks for
rounds is in :mod:`unified_assets.schedules`; a connection's first load, and what a person asks for, is a run of the
source's assets (:mod:`unified_assets.sources`).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import Field

from resources.adapters import AdaptersResource
from resources.storage import one_transaction
from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.sync.pull import PullResult
from unified.sync.round import Limits, Synced, sync_due
from unified_assets.interrupts import interruptible
from unified_assets.observing.checks import evaluate
from unified_assets.observing.reports import Description, describe
from unified_assets.partitions import DATA_VERSION_TAG
from unified_assets.sources import failures, summary

# After drains in the queue, before first loads. A round that crashed is not repeated: the schedule sees who is due.
_TAGS = {"unified/round": "true", "dagster/priority": "5", "dagster/max_retries": "0"}

# Dagster's freshness policy sees materializations alone. So often one is reported of an asset that did not change.
_FRESH_SECONDS = 3600.0

_NAMED_FAILURES = 20


class RoundConfig(dg.Config):
    """How long a round stays; the launchpad shows these."""

    stay_seconds: float = Field(
        default=75.0, ge=0, description="Wait for a connection that comes due within so long; 0 ends at once."
    )
    time_limit_minutes: float = Field(
        default=10.0, gt=0, description="Begin no sync after that; the next round goes on."
    )
    stream_limit_minutes: float = Field(
        default=10.0, gt=0, description="Stop a stream there; the connection's next sync goes on from there."
    )


def lease_of(source: str) -> str:
    """The name of the lock (`Database.exclusive`) that a source's round holds while it lives."""
    return f"round/{source}"


def round_job(adapter: type[BaseAdapter[Any]]) -> dg.JobDefinition:
    """The job that syncs a source's connections that are due."""
    source = adapter.name

    @dg.op(name=f"sync_{source}_connections", out=dg.Out(dg.Nothing))
    async def sync_connections(
        context: dg.OpExecutionContext,
        config: RoundConfig,
        database: DatabaseResource,
        adapters: AdaptersResource,
    ) -> None:
        limits = Limits(
            stay=config.stay_seconds,
            time=config.time_limit_minutes * 60,
            stream=config.stream_limit_minutes * 60,
        )
        run_id = context.run.run_id
        with interruptible(run_id), failures():
            async with database.open() as db, db.exclusive(lease_of(source)) as is_ours:
                reporter = _Reporter(context, db, adapter)
                if is_ours:
                    factory = adapters.factory(db, actor=f"dagster run {run_id}")
                    await sync_due(db, factory, source, reporter.report, limits, run_id=run_id)
                else:
                    context.log.info("another run syncs what is due of %s; nothing to do here", source)
            context.add_output_metadata(reporter.totals())
            reporter.end()

    @dg.job(
        name=f"{source}_round",
        executor_def=dg.in_process_executor,
        tags=_TAGS,
        description=f"Pull the changes of all {adapter.display_name} connections that are due.",
    )
    def sync_source() -> None:
        sync_connections()

    return sync_source


class _Reporter:
    """Reports to Dagster what became of each connection, as its sync ends."""

    def __init__(self, context: dg.OpExecutionContext, db: Database, adapter: type[BaseAdapter[Any]]) -> None:
        self._context = context
        self._db = db
        self._adapter = adapter
        self._connections: set[str] = set()
        self._changed: set[str] = set()
        self._failures: dict[str, str] = {}
        self._requests = 0
        self._materialized: dict[dg.AssetKey, float] = {}
        # One at a time: reports of one asset would wait for each other's transactions.
        self._turn = asyncio.Lock()

    async def report(self, synced: Synced) -> None:
        """Report one connection's streams."""
        connection = synced.connection
        self._connections.add(connection.key)
        self._failures.pop(connection.key, None)
        for stream, outcome in synced.outcomes.items():
            if not isinstance(outcome, PullResult):
                self._context.log.warning(str(outcome))
                self._log(dg.AssetObservation, stream, connection, {"error": str(outcome)})
                continue
            try:
                await self._report_stream(connection, stream, outcome)
            except StoreError as error:  # the next sync sees that this one was not reported
                self._failures[connection.key] = f"{connection.key}: {stream}: {error}"
        if synced.failure:
            self._failures[connection.key] = str(synced.failure)

    async def _report_stream(self, connection: Connection, stream: str, result: PullResult) -> None:
        self._requests += result.requests
        declared = self._adapter.stream(stream)
        checks = await evaluate(self._db, connection, declared, result)
        # What is reported is kept as reported by the same transaction: a kill in between has it reported again.
        async with self._turn, self._db.workspace(connection.workspace_id) as conn:
            found = await describe(conn, connection, declared, result)
            # Dagster waits for its database some ten times; syncs of others go on meanwhile.
            await asyncio.to_thread(self._write, connection, stream, result, found, checks)

    def _write(
        self,
        connection: Connection,
        stream: str,
        result: PullResult,
        found: Description,
        checks: Sequence[dg.AssetCheckResult],
    ) -> None:
        """Report one stream to Dagster."""
        if found.is_changed:
            self._changed.add(connection.key)
            self._context.log.info("%s: %s: %s", connection.key, stream, summary(result))
        is_new = found.is_changed or self._is_stale(dg.AssetKey([self._adapter.name, stream]))
        kind = dg.AssetMaterialization if is_new else dg.AssetObservation
        with one_transaction(self._context.instance):
            self._log(kind, stream, connection, found.metadata, {DATA_VERSION_TAG: found.data_version})
            for check in checks:
                self._log_check(stream, connection, check)

    def _is_stale(self, asset: dg.AssetKey) -> bool:
        """Whether an asset's freshness needs a materialization, whichever partition it is of."""
        if asset not in self._materialized:
            event = self._context.instance.get_latest_materialization_event(asset)
            self._materialized[asset] = event.timestamp if event else 0.0
        return time.time() - self._materialized[asset] > _FRESH_SECONDS

    def _log(
        self,
        kind: type[dg.AssetMaterialization] | type[dg.AssetObservation],
        stream: str,
        connection: Connection,
        metadata: dict[str, Any],
        tags: dict[str, str] | None = None,
    ) -> None:
        asset = dg.AssetKey([self._adapter.name, stream])
        if kind is dg.AssetMaterialization:
            self._materialized[asset] = time.time()
        self._context.log_event(kind(asset_key=asset, partition=connection.key, metadata=metadata, tags=tags))

    def _log_check(self, stream: str, connection: Connection, check: dg.AssetCheckResult) -> None:
        evaluation = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([self._adapter.name, stream]),
            check_name=str(check.check_name),
            passed=check.passed,
            metadata=check.metadata,
            severity=check.severity,
            description=check.description,
            blocking=True,
            partition=connection.key,
        )
        self._context.log_event(evaluation)  # type: ignore[arg-type]  # it takes them as well, and does not say so
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
            self._failures[connection.key] = (
                f"{connection.key}: {stream}: the check {check.check_name} failed"
            )

    def totals(self) -> dict[str, Any]:
        """What the round did over all connections."""
        return {
            "connections": len(self._connections),
            "changed": len(self._changed),
            "failed": len(self._failures),
            "requests": self._requests,
        }

    def end(self) -> None:
        """Let the run fail where a connection did, so that it is seen and somebody is alerted.

        Raises:
            dagster.Failure: With the reasons.
        """
        if self._failures:
            reasons = [*self._failures.values()]
            more = f"; and {len(reasons) - _NAMED_FAILURES} more" if len(reasons) > _NAMED_FAILURES else ""
            raise dg.Failure(
                f"{len(reasons)} of {len(self._connections)} connection(s) failed: "
                f"{'; '.join(reasons[:_NAMED_FAILURES])}{more}",
                allow_retries=False,
            )
