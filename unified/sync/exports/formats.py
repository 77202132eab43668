"""The formats that files are written in: how a piece is kept, and how a file is made of pieces.

Parquet is :mod:`unified.sync.exports.parquet`.
"""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from unified.store.lists.copies import Form
from unified.sync.exports.errors import ExportError


class Format(Protocol):
    """A format.

    Attributes:
        form: How values are to come from the database.
    """

    form: Form

    def encoded(self, rows: bytes) -> bytes:
        """The rows of a piece as it is kept; several threads may ask at a time."""

    def join(self, pieces: Sequence[Path], file: Path) -> None:
        """Make a file of pieces."""


class Csv:
    """CSV as RFC 4180 has it, with a heading. A missing value is empty, an empty text is ``""``."""

    form: Form = "guarded"

    def __init__(self, columns: Mapping[str, str]) -> None:
        """Of these columns, by name."""
        self._columns = columns

    def encoded(self, rows: bytes) -> bytes:
        """The rows of a piece, which come as they are kept."""
        return rows

    def join(self, pieces: Sequence[Path], file: Path) -> None:
        """Make a file of pieces."""
        with file.open("w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerow(self._columns)
        _append(pieces, file)


class JsonLines:
    """A JSON object per line. Amounts are text: a number would go through a double at most readers."""

    form: Form = "json"

    def __init__(self, columns: Mapping[str, str]) -> None:
        """Of these columns, which each object names."""

    def encoded(self, rows: bytes) -> bytes:
        """The rows of a piece, which come as they are kept."""
        return rows

    def join(self, pieces: Sequence[Path], file: Path) -> None:
        """Make a file of pieces."""
        file.write_bytes(b"")
        _append(pieces, file)


FORMATS = ("parquet", "csv", "jsonl")
"""Names of the formats, which are the ends of files' names as well."""


def format_of(name: str, columns: Mapping[str, str]) -> Format:
    """The format of that name, for files of these columns.

    Raises:
        ExportError: If there is none, or what it needs is not installed.
    """
    match name:
        case "csv":
            return Csv(columns)
        case "jsonl":
            return JsonLines(columns)
        case "parquet":
            from unified.sync.exports.parquet import Parquet  # noqa: PLC0415 - needs pyarrow

            return Parquet(columns)
    raise ExportError(f"there is no format {name!r}; there is {', '.join(FORMATS)}")


def _append(pieces: Sequence[Path], file: Path) -> None:
    with file.open("ab") as out:
        for piece in pieces:
            with piece.open("rb") as rows:
                shutil.copyfileobj(rows, out)
