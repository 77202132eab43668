"""What commands print: results on stdout, as tables or JSON; remarks and progress on stderr."""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import ASCII2, SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unified import logs

PLAIN_WIDTH = 200
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""

_log = logging.getLogger("unified.cli")

out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, title: str | None = None
) -> None:
    """Print rows below headings.

    Args:
        headings: One a column.
        rows: Cells; None is shown as a dash, numbers stand to the right, times in UTC to the second, objects and
            lists as JSON.
        empty: What to say where there are no rows.
        title: Printed above.
    """
    rows = list(rows)
    if not rows:
        out.print(empty)
        return
    if title:
        out.print(title)
    grid = Table(box=SIMPLE_HEAD if out.is_terminal else ASCII2, pad_edge=False)
    for number, heading in enumerate(headings):
        is_number = all(isinstance(row[number], int | None) for row in rows)
        grid.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_cell(cell)) for cell in row))
    out.print(grid)


def print_json(document: Any) -> None:
    """Print a document as JSON, times in ISO 8601."""
    sys.stdout.write(json.dumps(document, indent=2, default=_jsonable) + "\n")


def say(message: str) -> None:
    """Say how it goes, to a person or the log; not part of a command's result."""
    if logs.chosen() == "json":
        _log.info(message)
    else:
        err.print(message)


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=_jsonable)
        case _:
            return str(value)


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
