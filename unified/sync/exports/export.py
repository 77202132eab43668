"""One export, top to bottom: what is asked for, where it goes on, reading, and the files.

A file is made beside its target and renamed, so the target is whole, or what it was before. An export that was
interrupted goes on when the same is asked for again (:mod:`unified.sync.exports.progress`).

Where the next one goes on is noted as an export begins: at the oldest transaction that is still open
(:mod:`unified.store.positions`). What commits later than it was numbered is behind that place, and comes then.
"""

import asyncio
import os
import re
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from unified.store.database import Database
from unified.store.lists import pages
from unified.store.lists.copies import Extract, Piece, copy
from unified.sync.exports.errors import ExportError, UnfitError
from unified.sync.exports.formats import FORMATS, Format, format_of
from unified.sync.exports.progress import FOLDER, Progress, alone, read_json, sync, write_json
from unified.sync.exports.streams import find

GOES_ON_SECONDS = 24 * 60 * 60
"""After this time an export that was interrupted begins anew: what it read is old."""

# Pieces that are encoded side by side while the next one is read; each takes some times its size in memory.
_ENCODERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to export, and where to.

    Attributes:
        workspace: Slug of the workspace.
        workspace_id: Its id.
        stream: A name of :func:`unified.sync.exports.streams.names`.
        target: A file, or a folder to be filled day by day.
        file_format: One of ``FORMATS``.
        by_day: Whether the target is a folder.
        since_last: Only what changed since the last export of the same to the same folder; everything where there was
            none. Tombstones come too.
        connections: Names or ids of connections; all where there are none.
        deleted: Whether tombstones come too.
        raw: Whether what the source sent comes too.
    """

    workspace: str
    workspace_id: UUID
    stream: str
    target: Path
    file_format: str
    by_day: bool = False
    since_last: bool = False
    connections: Sequence[str] = ()
    deleted: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Export:
    """What an export came to.

    Attributes:
        files: The files, by day where there are several.
        rows: Rows in them.
        resumed: How many of these were read by an export that was interrupted.
        is_whole: Whether all was read, not only what changed.
    """

    files: list[Path]
    rows: int
    resumed: int
    is_whole: bool


def request_format(target: Path, chosen: str | None) -> tuple[str, bool]:
    """The format of a target, and whether it is a folder: what does not end like a file of a format.

    Raises:
        ExportError: If a format is chosen that the file's end contradicts.
    """
    ending = target.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        return chosen or FORMATS[0], True
    if chosen not in {None, ending}:
        raise ExportError(f"{target.name} ends like {ending}, and --format says {chosen}")
    return ending, False


async def export(db: Database, request: Request) -> Export:
    """Export a stream to files.

    Raises:
        ExportError: If that can't be, or a file can't be written; what was read so far is kept.
        ConnectionNotFoundError: If a connection is not there.
        StoreError: If the database fails; what was read so far is kept.
    """
    extract = _extract(request)
    file_format = format_of(request.file_format, extract.columns)
    extract = replace(extract, form=file_format.form)
    target = request.target.absolute()
    folder = (target if request.by_day else target.parent) / FOLDER
    work = folder / ("work" if request.by_day else target.name)
    progress = None
    try:
        with alone(work, target):
            work.mkdir(exist_ok=True)
            last = _Last(folder, request, extract)
            progress = Progress(work, last.request)
            await _begin(db, request, last, progress)
            resumed = progress.rows
            if not progress.is_read:
                await _read(db, request, extract, file_format, progress)
            files = await asyncio.to_thread(_write, request, target, file_format, progress)
            last.keep(progress.start["place"])
            progress.remove()
            return Export(files, progress.rows, resumed, progress.start["since"] is None)
    except UnfitError as error:
        raise ExportError(f"{request.stream} hold {error}; export them as jsonl") from None
    except OSError as error:
        reason = f"{request.target} can't be written: {error.strerror or error}"
        if progress is not None and progress.rows:
            reason += (
                f"; {progress.rows:,} rows that were read are kept, and the same command goes on from there"
            )
        raise ExportError(reason) from error


def _extract(request: Request) -> Extract:
    found = find(request.stream)
    if request.since_last and found.which.entity is None:
        raise ExportError(
            f"{request.stream} can't be exported by --since: what leaves them, such as an identity that was "
            "merged into another, leaves no trace; export all of them"
        )
    if request.raw and (found.lines or not found.which.raw):
        raise ExportError(f"{request.stream} have no raw records; leave --raw out")
    return Extract(
        which=found.which,
        lines=found.lines,
        stream=found.stream,
        connections=request.connections,
        deleted=request.deleted,
        raw=request.raw,
        by_day=request.by_day,
    )


class _Last:
    """Where the last whole export of the same to the same folder ended.

    Attributes:
        key: What is the same: stream, format and choices.
        request: What has to be the same for an export that was interrupted to go on, too. The release is of it: pieces
            and their order are its own.
        place: ``server`` and ``xid``, behind which is what it did not have; None where there was none.
    """

    def __init__(self, folder: Path, request: Request, extract: Extract) -> None:
        """Read it."""
        self.key: dict[str, Any] = {
            "workspace": str(request.workspace_id),
            "stream": request.stream,
            "format": request.file_format,
            "connections": sorted(request.connections),
            "raw": request.raw,
            "columns": list(extract.columns),
            "by_day": request.by_day,
        }
        name = (
            "last.json"
            if request.by_day
            else f"last.{request.workspace}.{request.stream}.{request.file_format}.json"
        )
        self._note = folder / name
        kept = read_json(self._note)
        is_same = kept is not None and kept["key"] == self.key
        if kept is not None and not is_same and request.by_day:
            raise ExportError(
                f"{request.target} holds another export ({kept['key']['stream']} as {kept['key']['format']}, perhaps "
                "with other columns or connections); choose another folder"
            )
        self.place: dict[str, Any] | None = kept["place"] if is_same and kept else None
        self.request = self.key | {
            "since_last": request.since_last,
            "deleted": request.deleted,
            "release": version("unified-assets"),
        }

    def keep(self, place: dict[str, Any]) -> None:
        """Note where an export ended that is whole now."""
        write_json(self._note, {"key": self.key, "place": place})


async def _begin(db: Database, request: Request, last: _Last, progress: Progress) -> None:
    """Begin, unless there is something to go on from."""
    async with db.workspace(request.workspace_id) as conn:
        now = await pages.start(conn)
    clock = time.time()
    if (
        progress.start
        and progress.start["place"]["server"] == now.server
        and clock - progress.start["at"] < GOES_ON_SECONDS
    ):
        return
    since = last.place if request.since_last else None
    if since and since["server"] != now.server:
        raise ExportError(
            f"the database was restored since the last export to {request.target}, and its changes are numbered anew: "
            "export everything once, without --since"
        )
    place = {"server": now.server, "xid": now.horizon}
    progress.begin({"at": clock, "place": place, "since": since["xid"] if since else None})


async def _read(
    db: Database, request: Request, extract: Extract, file_format: Format, progress: Progress
) -> None:
    """Read what is not read yet, piece by piece."""
    since = progress.start["since"]
    # The first export of a series has the tombstones that the later ones have.
    extract = replace(
        extract,
        since=since,
        before=progress.start["place"]["xid"],
        deleted=extract.deleted or request.since_last,
    )
    keeping: deque[asyncio.Task[None]] = deque()
    with ThreadPoolExecutor(_ENCODERS) as encoders:
        async with aclosing(copy(db, request.workspace_id, extract, after=progress.after)) as pieces:
            try:
                async for piece in pieces:
                    encoded = asyncio.wrap_future(encoders.submit(file_format.encoded, piece.rows))
                    former = keeping[-1] if keeping else None
                    keeping.append(asyncio.create_task(_keep(progress, piece, encoded, former)))
                    if len(keeping) > _ENCODERS:
                        await keeping.popleft()
            finally:  # a thread can't be stopped
                done = await asyncio.gather(*keeping, return_exceptions=True)
    for error in filter(None, done):
        raise error
    progress.end()


async def _keep(
    progress: Progress, piece: Piece, encoded: Awaitable[bytes], former: asyncio.Task[None] | None
) -> None:
    """Keep a piece once it is ``encoded``, and the ``former`` one is kept."""
    rows = await encoded
    if former is not None:
        await former
    await asyncio.to_thread(progress.add, piece.day, piece.count, piece.place, rows)


def _write(request: Request, target: Path, file_format: Format, progress: Progress) -> list[Path]:
    """Make the files of all pieces, each beside its place and renamed."""
    days = progress.days()
    beside = progress.folder / "file"
    if not request.by_day:
        file_format.join([piece for _, pieces in days for piece in pieces], beside)
        _place(beside, target)
        return [target]
    files = []
    name = f"{request.stream}-{progress.start['place']['xid']}.{request.file_format}"
    for day, pieces in days:
        file = target / f"day={day}" / name
        file.parent.mkdir(exist_ok=True)
        file_format.join(pieces, beside)
        _place(beside, file)
        files.append(file)
    if progress.start["since"] is None:
        _remove_former(request, target, set(files))
    return files


def _place(beside: Path, target: Path) -> None:
    sync(beside)
    beside.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut undoes the renaming
    finally:
        os.close(folder)


def _remove_former(request: Request, target: Path, files: set[Path]) -> None:
    """Remove what former exports of the stream left in a folder that has all of it anew."""
    own = re.compile(rf"{re.escape(request.stream)}-\d+\.{request.file_format}")
    for file in target.glob("day=*/*"):
        if own.fullmatch(file.name) and file not in files:
            file.unlink()
