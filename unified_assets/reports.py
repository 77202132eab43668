"""What a run shows about itself: counts, traffic, a preview without personal data, a plot of records per day."""

import base64
from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import Any

import dagster as dg

from store import quality
from store.database import Database
from store.connections import Connection
from sync.pull import PullResult

PREVIEW_ROWS = 5
PLOTTED_DAYS = 90


async def describe(db: Database, connection: Connection, stream: str, result: PullResult) -> dict[str, Any]:
    """Metadata of one materialization."""
    async with db.workspace(connection.workspace_id) as conn:
        live = await quality.live_records(conn, stream, connection.connector, connection.id)
        newest = await quality.newest_records(conn, stream, connection.connector, connection.id, PREVIEW_ROWS)
        days = await quality.records_by_day(conn, stream, connection.connector, connection.id, PLOTTED_DAYS)
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
        "seconds": round(result.seconds, 2),
        "requests": result.requests,
        "retries": result.retries,
        "refused_429": result.refused,
        "rate_limit_wait_seconds": round(result.rate_limit_waited, 2),
        "preview": dg.MetadataValue.md(_table(("source_id", "created", "deleted", "about"), newest)),
        "records_per_day": dg.MetadataValue.md(bar_chart(dict(days), "records created per day")),
    }


def bar_chart(values: Mapping[date, int] | Mapping[str, float], title: str) -> str:
    """A bar chart as Markdown with the picture inside it.

    Args:
        values: Height of each bar by its place on the x axis.
        title: What it shows.
    """
    if not values:
        return f"*{title}: nothing yet*"
    from matplotlib.figure import Figure  # slow to import, and not every process draws

    figure = Figure(figsize=(7, 2.2), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(list(values.keys()), list(values.values()), color="#4f43dd")  # type: ignore[arg-type]
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.autofmt_xdate()
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=96)
    return f"![{title}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join("" if cell is None else str(cell) for cell in line) + " |" for line in lines)
