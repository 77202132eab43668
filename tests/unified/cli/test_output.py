"""Tables of many rows, which are written without rich, look as rich draws them."""

import io

import pytest
from rich.box import ASCII2, SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unified.cli.output import grid_text

COLUMNS = [("NAME", False), ("ROWS", True), ("ERROR", False)]
CELLS = [["acme/stripe", "20", "-"], ["ü漢字", "1,000", "the key is not accepted"]]


def drawn(cells: list[list[str]], box: Box, width: int) -> str:
    file = io.StringIO()
    grid = Table(box=box, pad_edge=False)
    for heading, is_number in COLUMNS:
        grid.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        grid.add_row(*map(Text, row))
    Console(file=file, width=width, highlight=False, markup=False).print(grid)
    return file.getvalue()


@pytest.mark.parametrize("box", [ASCII2, SIMPLE_HEAD], ids=["file", "terminal"])
def test_it_looks_the_same(box: Box) -> None:
    widest = drawn(CELLS, ASCII2, 200).index("\n")
    assert grid_text(COLUMNS, CELLS, box, widest) == drawn(CELLS, box, 200)
    assert grid_text(COLUMNS, CELLS, box, widest - 1) is None, "something has to be folded, which rich can"


def test_a_cell_that_breaks_the_line_or_steers_the_terminal_is_left_to_rich() -> None:
    for text in ("a\nb", "\x1b[2J"):
        assert grid_text(COLUMNS, [*CELLS, [text, "1", "-"]], ASCII2, 200) is None
