"""What a run shows about itself: counts and traffic, and where records changed a preview and a plot of them.

A preview names no person.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

import dagster as dg

from unified.kit.declarations import Stream
from unified.schema.entities import INVOICES
from unified.store.connections.rows import ConnectionSummary
from unified.store.records.counts import invoiced, kept, quality
from unified.store.records.tables import StreamKey
from unified.sync.pull import PullResult

PREVIEW_ROWS = 5
PLOTTED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Description:
    """What a run shows of one stream.

    Attributes:
        metadata: By name.
        data_version: The same for as long as no record of the stream changes, whatever changes it.
        is_changed: Whether a record changed since the stream was described last.
    """

    metadata: dict[str, Any]
    data_version: str
    is_changed: bool


async def describe(
    conn: Any, connection: ConnectionSummary, stream: Stream, result: PullResult
) -> Description:
    """Describe a stream after a pull, and put together what its invoices add up to.

    Args:
        conn: A transaction of the workspace. That a change was described is kept once it commits.
        connection: Whose.
        stream: Of which stream.
        result: What the pull did.
    """
    key = StreamKey.of(connection, stream)
    live = await kept.live_records(conn, key, anew=result.mode == "full")
    is_changed = live.is_new or result.is_changed
    newest = await quality.newest_records(conn, key, PREVIEW_ROWS) if is_changed else []
    days = await quality.records_by_day(conn, key, PLOTTED_DAYS) if is_changed else []
    if is_changed and key.entity is INVOICES:
        await invoiced.put_together(conn, key, anew=result.mode == "full")
    metadata: dict[str, Any] = {
        "dagster/row_count": live.found,
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
    }
    if is_changed:
        metadata |= {
            "preview": table(newest),
            "records_per_day": bar_chart({"records created per day": dict(days)}),
        }
    return Description(metadata, live.version, is_changed)


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
    # Slow to import, and not every process draws.
    from matplotlib.collections import PolyCollection  # noqa: PLC0415
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Every stream that changed is drawn at the end of its sync. Margins that are given, and bars that are one shape,
    # take a quarter of the time of a layout that is computed by drawing twice, and of a shape for each bar.
    height = 0.6 + 1.6 * len(panels)
    figure = Figure(figsize=(7, height))
    figure.subplots_adjust(left=0.1, right=0.98, top=1 - 0.3 / height, bottom=0.4 / height, hspace=0.35)
    column = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, bars) in zip(column, panels.items(), strict=True):
        width = 0.8 * days_a_bar
        starts = date2num(list(bars))  # type: ignore[no-untyped-call]  # matplotlib's dates have no types yet
        shapes = PolyCollection(
            [
                [(start, 0), (start, tall), (start + width, tall), (start + width, 0)]
                for start, tall in zip(starts, bars.values(), strict=True)
            ],
            facecolor="#4f43dd",
        )
        shapes.sticky_edges.y.append(0)
        axes.add_collection(shapes)
        axes.autoscale_view()
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    days = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    column[-1].xaxis.set_major_locator(days)
    column[-1].xaxis.set_major_formatter(ConciseDateFormatter(days))  # type: ignore[no-untyped-call]
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=96)
    title = ", ".join(panels)
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"
    )
