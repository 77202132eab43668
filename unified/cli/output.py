"""What commands print: results on stdout, as tables or JSON; remarks and progress on stderr."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import ASCII2, SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unified import logs

PLAIN_WIDTH = 200
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""

_log = logging.getLogger("unified.cli")

_MANY_ROWS = 200
# What moves a terminal's cursor, colours it or turns its text round; lines and tabs are left.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

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
    box = SIMPLE_HEAD if out.is_terminal else ASCII2
    columns = [
        (heading, all(isinstance(row[number], int | None) for row in rows))
        for number, heading in enumerate(headings)
    ]
    cells = [[_cell(cell) for cell in row] for row in rows]
    if len(rows) > _MANY_ROWS and (text := grid_text(columns, cells, box, out.width)) is not None:
        out.file.write(text)
        return
    grid = Table(box=box, pad_edge=False)
    for heading, is_number in columns:
        grid.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    out.print(grid)


def grid_text(
    columns: Sequence[tuple[str, bool]], cells: Sequence[Sequence[str]], box: Box, width: int
) -> str | None:
    """A table as rich draws it, without styles; rich takes most of a millisecond for each row.

    Args:
        columns: Heading, and whether its cells stand to the right.
        cells: Texts, row by row.
        box: How its lines look.
        width: Of the screen, in characters.

    Returns:
        Its lines; None where a cell would have to be folded.
    """
    if any(not cell.isprintable() for row in cells for cell in row):
        return None
    widths = [
        max(map(cell_len, (heading, *column))) for (heading, _), *column in zip(columns, *cells, strict=True)
    ]
    if sum(widths) + 3 * len(widths) - 1 > width:
        return None
    last = len(widths) - 1
    spans = [size + (number > 0) + (number < last) for number, size in enumerate(widths)]

    def line(texts: Sequence[str], left: str, between: str, right: str) -> str:
        padded = (
            " " * (number > 0) + _aligned(text, size, is_right=is_right) + " " * (number < last)
            for number, (text, size, (_, is_right)) in enumerate(zip(texts, widths, columns, strict=True))
        )
        return f"{left}{between.join(padded)}{right}\n"

    def rule(left: str, across: str, cross: str, right: str) -> str:
        return f"{left}{cross.join(across * span for span in spans)}{right}\n"

    return "".join(
        [
            rule(box.top_left, box.top, box.top_divider, box.top_right),
            line([heading for heading, _ in columns], box.head_left, box.head_vertical, box.head_right),
            rule(box.head_row_left, box.head_row_horizontal, box.head_row_cross, box.head_row_right),
            *(line(row, box.mid_left, box.mid_vertical, box.mid_right) for row in cells),
            rule(box.bottom_left, box.bottom, box.bottom_divider, box.bottom_right),
        ]
    )


def _aligned(text: str, size: int, *, is_right: bool) -> str:
    space = " " * (size - cell_len(text))
    return space + text if is_right else text + space


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
            return _harmless(json.dumps(value, ensure_ascii=False, default=_jsonable))
        case _:
            return _harmless(str(value))


def _harmless(text: str) -> str:
    """A text with what steers a terminal as its escape: a stored value may come from anybody."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
