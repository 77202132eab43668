"""Tables of many rows, which are written without rich, look as rich draws them."""

import io

import pytest
from rich.box import ASCII2, SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unified.cli.output import grid_text, table

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


@pytest.mark.parametrize("rows", [1, 300])
def test_what_steers_a_terminal_is_shown_as_its_escape(capsys: pytest.CaptureFixture[str], rows: int) -> None:
    """Lines, and marks within words of other scripts, are left as they are."""
    names = [
        "\x1b]0;mine\x07\x1b[2J",
        "a\rb",
        "\u202egpj.exe",
        "one\ntwo",
        "n\u00a0b",
        "\u0645\u06cc\u200c\u062e",
        {"k": "\x9b1m"},
    ]
    table(["NAME"], [[name] for name in names * rows], empty="-")
    shown = capsys.readouterr().out
    for text in (
        r"\x1b]0;mine\x07\x1b[2J",
        r"a\rb",
        r"\u202egpj.exe",
        "n\u00a0b",
        "\u0645\u06cc\u200c\u062e",
        r"\x9b1m",
    ):
        assert text in shown
    assert not {"\x1b", "\x07", "\r", "\u202e", "\x9b"} & set(shown)
    assert "two" in shown
    assert "one\\ntwo" not in shown
