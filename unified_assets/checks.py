"""Checks of a source's assets, run in the same step as the pull so that bad data stops what is downstream."""

from collections.abc import Iterator
from decimal import Decimal

import dagster as dg

from adapters.base import Stream
from store import quality
from store.database import Database
from store.connections import Connection
from sync.pull import PullResult

CONSERVATION = "conservation"
SOURCE_COUNT = "source_count"
NO_ORPHANS = "no_orphans"
MONEY = "money"

SMALL_DIFFERENCE = 10

_DESCRIPTIONS = {
    CONSERVATION: "Every record read was inserted, updated, unchanged or rejected; none was lost on the way.",
    SOURCE_COUNT: "After a full refresh, as many live records are stored or rejected as the source counts.",
    NO_ORPHANS: "Every customer that an invoice names is stored, if only as deleted.",
    MONEY: "Stored totals equal the sums that the source's own records state, currency by currency.",
}


def check_specs(key: dg.AssetKey, stream: Stream) -> list[dg.AssetCheckSpec]:
    """The checks of one asset."""
    return [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=_DESCRIPTIONS[name]) for name in _names(stream)
    ]


def _names(stream: Stream) -> Iterator[str]:
    yield CONSERVATION
    yield SOURCE_COUNT
    if stream.name == "invoices":
        yield NO_ORPHANS
        if stream.control_total is not None:
            yield MONEY


async def evaluate(
    db: Database, connection: Connection, stream: Stream, result: PullResult
) -> list[dg.AssetCheckResult]:
    """Evaluate the checks of one asset after a pull."""
    found = [_conservation(result), await _source_count(db, connection, stream, result)]
    if stream.name == "invoices":
        found.append(await _no_orphans(db, connection))
        if stream.control_total is not None:
            found.append(await _money(db, connection, stream))
    return found


def _conservation(result: PullResult) -> dg.AssetCheckResult:
    accounted = result.inserted + result.updated + result.unchanged + result.rejected
    return dg.AssetCheckResult(
        check_name=CONSERVATION,
        passed=result.read == accounted,
        metadata={"read": result.read, "accounted_for": accounted},
    )


async def _source_count(
    db: Database, connection: Connection, stream: Stream, result: PullResult
) -> dg.AssetCheckResult:
    if result.source_count is None:
        reason = "the source gives no count" if result.is_complete else "the pull is not complete yet"
        return dg.AssetCheckResult(check_name=SOURCE_COUNT, passed=True, description=f"Not compared: {reason}.")
    async with db.workspace(connection.workspace_id) as conn:
        live = await quality.live_records(conn, stream.name, connection.connector, connection.id)
        rejected = await quality.rejected_records(conn, stream.name, connection.id)
    difference = abs(live + rejected - result.source_count)
    # Records come and go while a long refresh runs: a difference that this may explain warns, a larger one blocks.
    is_small = difference <= max(SMALL_DIFFERENCE, result.source_count // 1000)
    return dg.AssetCheckResult(
        check_name=SOURCE_COUNT,
        passed=difference == 0,
        severity=dg.AssetCheckSeverity.WARN if is_small else dg.AssetCheckSeverity.ERROR,
        metadata={"stored": live, "rejected": rejected, "source": result.source_count},
    )


async def _no_orphans(db: Database, connection: Connection) -> dg.AssetCheckResult:
    async with db.workspace(connection.workspace_id) as conn:
        orphans = await quality.unknown_customers(conn, connection.connector, connection.id, limit=10)
    return dg.AssetCheckResult(check_name=NO_ORPHANS, passed=not orphans, metadata={"first_missing_ids": orphans})


async def _money(db: Database, connection: Connection, stream: Stream) -> dg.AssetCheckResult:
    assert stream.control_total is not None
    async with db.workspace(connection.workspace_id) as conn:
        totals = await quality.invoice_totals(conn, connection.connector, connection.id, stream.control_total)
    rows = [
        dg.TableRecord(
            {"currency": t.currency, "invoices": t.invoices, "stored": str(t.stored), "stated": str(t.stated)}
        )
        for t in totals
    ]
    columns = [dg.TableColumn(name, "string") for name in ("currency", "invoices", "stored", "stated")]
    return dg.AssetCheckResult(
        check_name=MONEY,
        passed=all(Decimal(t.stored) == Decimal(t.stated) for t in totals),
        metadata={"totals": dg.MetadataValue.table(rows, schema=dg.TableSchema(columns))},
    )
