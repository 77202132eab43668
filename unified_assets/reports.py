"""What a run shows about itself: counts, traffic, a preview without personal data, a plot of records per day."""

import base64
from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any

import dagster as dg

from unified.kit.declarations import Stream
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import quality
from unified.store.records.tables import StreamKey
from unified.sync.pull import PullResult

PREVIEW_ROWS = 5
PLOTTED_DAYS = 90


async def describe(
    db: Database, connection: Connection, stream: Stream, result: PullResult
) -> dict[str, Any]:
    """Metadata of one materialization.

    Raises:
        StoreError: If the database fails.
    """
    key = StreamKey.of(connection, stream)
    async with db.workspace(connection.workspace_id) as conn:
        live = await quality.live_records(conn, key)
        newest = await quality.newest_records(conn, key, PREVIEW_ROWS)
        days = await quality.records_by_day(conn, key, PLOTTED_DAYS)
    return {
        "dagster/row_count": live,
        "mode": result.mode,
        "complete": result.is_complete,
        "read": result.read,
        "inserted": result.inserted,
        "updated": result.updated,
        "unchanged": result.unchanged,
        "deleted": result.deleted,
        "rejected": result.rejected,
        "with_unusable_fields": result.unusable,
        "suppressed": result.suppressed,
        "seconds": round(result.seconds, 2),
        "requests": result.requests,
        "retries": result.retries,
        "refused_429": result.refused,
        "rate_limit_wait_seconds": round(result.rate_limit_waited, 2),
        "preview": table(newest),
        "records_per_day": bar_chart({"records created per day": dict(days)}),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows as a table; their columns are those of the first one."""
    columns = [dg.TableColumn(name) for name in rows[0]] if rows else []
    records = [
        dg.TableRecord({name: None if cell is None else str(cell) for name, cell in row.items()})
        for row in rows
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def bar_chart(panels: Mapping[str, Mapping[date, float]], *, days_a_bar: int = 1) -> dg.MarkdownMetadataValue:
    """Bars over time, as Markdown with the picture inside it.

    Args:
        panels: For each panel, by its title, the height of each bar by its day.
        days_a_bar: How wide a bar is.
    """
    if not any(panels.values()):
        return dg.MetadataValue.md("*nothing yet*")
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not every process draws

    figure = Figure(figsize=(7, 0.6 + 1.6 * len(panels)), layout="constrained")
    column = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, bars) in zip(column, panels.items(), strict=True):
        axes.bar(list(bars), list(bars.values()), width=0.8 * days_a_bar, align="edge", color="#4f43dd")
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.autofmt_xdate()
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=96)
    title = ", ".join(panels)
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
    )
