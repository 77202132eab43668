"""The hidden folder beside a target: what an export has read so far, and where the last whole one ended.

A piece is on the disk before the note that counts it, so after a crash at any moment the export goes on behind the last
piece that was counted. Readers of data sets pass over names that begin with a dot.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from unified.sync.exports.errors import ExportError

FOLDER = ".unified-export"


class Progress:
    """What an export to one target has read so far.

    Attributes:
        folder: Where it keeps it.
        rows: How many rows.
        after: Where to go on: day and key of the last row; None at the beginning.
        start: What was noted as the export began, e.g. from which transaction on changes are left to the next one.
        is_read: Whether all is read.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]) -> None:
        """Take up what is in ``folder``, if it is of the same request and all of it is there."""
        self.folder, self._request = folder, request
        self._note = folder / "progress.json"
        kept = read_json(self._note)
        if kept is None or kept["request"] != request or len(self._kept_pieces()) < kept["pieces"]:
            self.begin({})
            return
        self.rows: int = kept["rows"]
        self.after: list[str] | None = kept["after"]
        self.start: dict[str, Any] = kept["start"]
        self.is_read: bool = kept["is_read"]
        self._pieces: int = kept["pieces"]
        self._remove_uncounted()  # the next piece of that number may be of another day, and have another name

    def begin(self, start: dict[str, Any]) -> None:
        """Forget what was read, and begin with this ``start``."""
        self.rows, self.after, self.start, self.is_read, self._pieces = 0, None, start, False, 0
        self._keep()  # before: a note never counts pieces that are gone
        self._remove_uncounted()

    def add(self, day: str, count: int, after: list[str], rows: bytes) -> None:
        """Keep the next piece, and count it."""
        piece = self.folder / f"piece-{self._pieces:06}-{day}"
        piece.write_bytes(rows)
        sync(piece)
        self._pieces, self.rows, self.after = self._pieces + 1, self.rows + count, after
        self._keep()

    def end(self) -> None:
        """All is read."""
        self.is_read = True
        self._keep()

    def days(self) -> list[tuple[str, list[Path]]]:
        """The pieces that were counted, by day."""
        pieces = self._kept_pieces()[: self._pieces]
        return [(day, list(own)) for day, own in groupby(pieces, lambda piece: piece.name.split("-", 2)[2])]

    def remove(self) -> None:
        """Remove all of it: the export is whole."""
        self._note.unlink()  # as in begin
        shutil.rmtree(self.folder)

    def _kept_pieces(self) -> list[Path]:
        return sorted(self.folder.glob("piece-*"))

    def _remove_uncounted(self) -> None:
        for piece in self._kept_pieces()[self._pieces :]:
            piece.unlink()

    def _keep(self) -> None:
        kept = {
            "request": self._request,
            "start": self.start,
            "rows": self.rows,
            "after": self.after,
            "is_read": self.is_read,
            "pieces": self._pieces,
        }
        write_json(self._note, kept)


@contextmanager
def alone(folder: Path, target: Path) -> Iterator[None]:
    """Keep other processes from exporting to the same target, for as long as this one lives.

    Raises:
        ExportError: If another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"another process exports to {target} at the moment") from None
        yield


def read_json(path: Path) -> Any:
    """What was kept there; None where there is nothing, or nothing that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, kept: Any) -> None:
    """Keep it there: whole, or as it was."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps(kept))
    sync(beside)
    beside.replace(path)


def sync(path: Path) -> None:
    """See that a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
