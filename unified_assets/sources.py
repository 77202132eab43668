"""The assets of a source: one per stream, partitioned by connection, each owning its leaf of a unified table."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from resources.adapters import AdaptersResource
from resources.store import DatabaseResource
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.errors import StoreError
from unified.store.records import burials
from unified.sync.connection import sync_stream
from unified.sync.errors import SyncError
from unified.sync.pull import PullResult
from unified_assets.interrupts import interruptible
from unified_assets.observing.checks import check_specs, evaluate, left_out
from unified_assets.observing.columns import table_metadata
from unified_assets.observing.reports import describe
from unified_assets.partitions import connections_of

# After 10, 30 and 70 seconds; requests were retried before by themselves, and the schedule comes back afterwards.
RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL)

# Of the asset, which any of its connections keeps fresh; ``freshness`` looks at each connection by itself.
FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=24), warn_window=timedelta(hours=2))


class SyncConfig(dg.Config):
    """How to run a sync; the launchpad shows these."""

    full: bool = Field(default=False, description="Read everything anew instead of the changes only.")
    bury: bool = Field(
        default=False,
        description="Let the full refresh that waits for a word, or one that begins with this run, mark any share of "
        "the records as deleted; a person has looked at it.",
    )
    time_limit_minutes: float = Field(
        default=10.0, gt=0, description="Stop there; the next run goes on from where this one stood."
    )


def source_assets(adapter: type[BaseAdapter[Any]]) -> list[dg.AssetsDefinition]:
    """One asset for each stream of a connector: ``stripe/customers``, ``stripe/invoices``, …."""
    return [_stream_asset(adapter, stream) for stream in adapter.streams]


def _stream_asset(adapter: type[BaseAdapter[Any]], stream: Stream) -> dg.AssetsDefinition:
    entity = stream.entity
    leaf = entity.leaf(adapter.name)

    @dg.asset(
        key=[adapter.name, stream.name],
        deps=[[adapter.name, stream.customers]] if stream.customers else [],  # an invoice names a customer
        description=(
            f"{adapter.display_name} {stream.name}, unified. Table `{leaf}`, a partition of `{entity.table}`."
        ),
        group_name=adapter.name,
        kinds={adapter.name, "postgres"},
        io_manager_key="tables",  # for assets that take it as an input; the pull stores by itself
        partitions_def=connections_of(adapter.name),
        retry_policy=RETRIES,
        freshness_policy=FRESHNESS,
        check_specs=check_specs(adapter.name, stream),
        output_required=False,  # nothing comes of a stream that the connection does not read
        metadata=table_metadata(entity, adapter.name),
        code_version=f"{stream.mapping_version}.{entity.model.__schema_version__}",
    )
    # Dagster can't read what an asynchronous generator is annotated to yield: a result, or only those of the checks.
    async def pull_stream(  # type: ignore[no-untyped-def]  # noqa: ANN202
        context: dg.AssetExecutionContext,
        config: SyncConfig,
        database: DatabaseResource,
        adapters: AdaptersResource,
    ):
        with interruptible(context.run.run_id), failures():
            async with database.open() as db:
                connection = await Registry(db).find(context.partition_key)
                if stream not in adapter.chosen(connection.streams):
                    context.log.info("%s does not read %s", connection.key, stream.name)
                    for answer in left_out(stream):
                        yield answer
                    return
                actor = f"dagster run {context.run.run_id}"
                if config.bury:
                    async with db.workspace(connection.workspace_id) as conn:
                        await burials.confirm(
                            conn, connection.workspace_id, connection.id, actor=actor, stream=stream.name
                        )
                result = await sync_stream(
                    db,
                    adapters.factory(db, actor=actor),
                    connection,
                    stream.name,
                    full=config.full,
                    bury=config.bury,
                    time_limit=config.time_limit_minutes * 60,
                    run_id=context.run.run_id,
                )
                context.log.info(summary(result))
                check_results = await evaluate(db, connection, stream, result)
                async with db.workspace(connection.workspace_id) as conn:
                    description = await describe(conn, connection, stream, result)
                yield dg.MaterializeResult(
                    metadata=description.metadata,
                    data_version=dg.DataVersion(description.data_version),
                    check_results=check_results,
                )

    return pull_stream


@contextmanager
def failures() -> Iterator[None]:
    """Report to Dagster what failed, by its message alone, and whether to try again.

    The message names connection and stream and holds no secret. The chain of causes goes down into libraries, whose
    texts nobody has looked through; it stays out of the event log.
    """
    try:
        yield
    except SyncError as error:
        raise dg.Failure(str(error), allow_retries=error.retry) from None
    except StoreError as error:
        raise dg.Failure(str(error), allow_retries=not isinstance(error, ConnectionNotFoundError)) from None


def summary(result: PullResult) -> str:
    """One line for people about what a pull did."""
    line = (
        f"{result.mode} pull: {result.read} read, {result.inserted} inserted, {result.updated} updated, "
        f"{result.unchanged} unchanged, {result.deleted} deleted, {result.rejected} rejected "
        f"in {result.seconds:.1f} s with {result.requests} requests"
    )
    return line if result.is_complete else f"{line}; not complete, the next run goes on from here"
