"""Checks of a source's assets, run in the same step as the pull so that bad data stops what is downstream."""

import warnings
from collections.abc import Iterator
from decimal import Decimal

import dagster as dg

from unified.kit.declarations import ControlTotal, Stream
from unified.kit.registry import get_adapter
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import cursors
from unified.store.records.counts import kept, quality
from unified.store.records.tables import StreamKey
from unified.sync.pull import PullResult
from unified_assets.observing.reports import table
from unified_assets.partitions import connections_of

CONSERVATION = "conservation"
SOURCE_COUNT = "source_count"
NO_ORPHANS = "no_orphans"
MONEY = "money"

SMALL_DIFFERENCE = 10
SHOWN_ORPHANS = 10

_DESCRIPTIONS = {
    CONSERVATION: "Every record read was inserted, updated, unchanged or rejected; none was lost on the way.",
    SOURCE_COUNT: "After a full refresh, as many live records are stored or rejected as the source counts.",
    NO_ORPHANS: "Every customer that an invoice names is stored, if only as deleted.",
    MONEY: "Stored totals equal the sums that the source's own records state, currency by currency.",
}


def check_specs(source: str, stream: Stream) -> list[dg.AssetCheckSpec]:
    """The checks of one asset. Each connection has its own outcome: one's bad data does not stop another's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # of partitions_def, new in Dagster 1.13
        return [
            dg.AssetCheckSpec(
                name,
                asset=dg.AssetKey([source, stream.name]),
                blocking=True,
                description=_DESCRIPTIONS[name],
                partitions_def=connections_of(source),
            )
            for name in _names(stream)
        ]


def _names(stream: Stream) -> Iterator[str]:
    yield CONSERVATION
    yield SOURCE_COUNT
    if stream.customers is not None:
        yield NO_ORPHANS
    if stream.control_total is not None:
        yield MONEY


async def evaluate(
    db: Database, connection: Connection, stream: Stream, result: PullResult
) -> list[dg.AssetCheckResult]:
    """Evaluate the checks of one asset after a pull.

    Raises:
        StoreError: If the database fails.
    """
    key = StreamKey.of(connection, stream)
    found = [_conservation(result), await _source_count(db, key, result)]
    if stream.customers is not None:
        customers = StreamKey.of(connection, get_adapter(connection.connector).stream(stream.customers))
        found.append(await _no_orphans(db, key, customers, result))
    if stream.control_total is not None:
        found.append(await _money(db, key, stream.control_total, result))
    return found


def left_out(stream: Stream) -> list[dg.AssetCheckResult]:
    """The checks of an asset whose stream the connection does not read: there is nothing to compare."""
    return [_not_compared(name, "the connection does not read this stream") for name in _names(stream)]


def _conservation(result: PullResult) -> dg.AssetCheckResult:
    accounted = result.inserted + result.updated + result.unchanged + result.rejected
    return dg.AssetCheckResult(
        check_name=CONSERVATION,
        passed=result.read == accounted,
        metadata={"read": result.read, "accounted_for": accounted},
    )


async def _source_count(db: Database, key: StreamKey, result: PullResult) -> dg.AssetCheckResult:
    if not result.is_complete:
        return _not_compared(SOURCE_COUNT, "the pull is not complete yet")
    if result.source_count is None:
        reason = "the source gives no count" if result.mode == "full" else "only a full refresh is counted"
        return _not_compared(SOURCE_COUNT, reason)
    async with db.workspace(key.workspace_id) as conn:
        live = await quality.live_records(conn, key)
        rejected = await quality.rejected_only(conn, key)
    difference = abs(live + rejected - result.source_count)
    # Records come and go while a long refresh runs: a difference that this may explain warns, a larger one blocks.
    is_small = difference <= max(SMALL_DIFFERENCE, result.source_count // 1000)
    return dg.AssetCheckResult(
        check_name=SOURCE_COUNT,
        passed=difference == 0,
        severity=dg.AssetCheckSeverity.WARN if is_small else dg.AssetCheckSeverity.ERROR,
        metadata={"stored": live, "rejected": rejected, "source": result.source_count},
    )


async def _no_orphans(
    db: Database, invoices: StreamKey, customers: StreamKey, result: PullResult
) -> dg.AssetCheckResult:
    stored = await cursors.load(db, customers)
    if not (result.is_complete and stored and stored.refreshed_at):
        return _not_compared(NO_ORPHANS, "customers or invoices are not all read yet")
    async with db.workspace(invoices.workspace_id) as conn:
        orphans = await kept.unknown_customers(
            conn, invoices, customers, SHOWN_ORPHANS, anew=result.mode == "full"
        )
    return dg.AssetCheckResult(
        check_name=NO_ORPHANS, passed=not orphans, metadata={"first_missing_customers": orphans}
    )


async def _money(
    db: Database, key: StreamKey, control: ControlTotal, result: PullResult
) -> dg.AssetCheckResult:
    # What was not read again was held against its raw record when it was.
    since = None if result.mode == "full" else result.started_at
    totals: list[quality.Totals] = []
    if since is None or result.is_changed:
        async with db.workspace(key.workspace_id) as conn:
            totals = await quality.invoice_totals(conn, key, control, since=since)
    rows = [
        {
            "currency": each.currency,
            "invoices": each.invoices,
            "stored": each.stored,
            "stated": each.stated,
            "difference": each.stored - each.stated,
        }
        for each in totals
    ]
    return dg.AssetCheckResult(
        check_name=MONEY,
        passed=all(row["difference"] == Decimal(0) for row in rows),
        metadata={"totals": table(rows)},
    )


def _not_compared(check: str, reason: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=check, passed=True, description=f"Not compared: {reason}.")
