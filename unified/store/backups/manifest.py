"""What a backup says of itself: the file ``manifest.json`` that makes a folder a backup.

It is written last, so a folder without one is not a backup. It holds no key, no password and no row.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from unified.store.errors import StoreError

FILE = "manifest.json"
FORMAT = 1
"""Raised when a former release could not read what a later one writes."""

_BLOCK = 2**20


class BackupError(StoreError):
    """A backup could not be made, is damaged, or can't be restored here."""


class Table(msgspec.Struct, frozen=True):
    """What one table holds.

    Attributes:
        rows: How many.
        digest: Sum of a hash of each row's text, as a decimal number; the order of rows does not matter.
    """

    rows: int
    digest: str


class Contents(msgspec.Struct, frozen=True):
    """What one database holds, so that a copy can be compared with it.

    Attributes:
        tables: By name with its schema; partitions each by itself.
        sequences: Where each of them was. They go on outside of transactions, so a copy is there or further.
        objects: How many there are of each kind: policies, indexes, functions and so on.
    """

    tables: Mapping[str, Table]
    sequences: Mapping[str, int]
    objects: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


class Dump(msgspec.Struct, frozen=True):
    """One database's dump.

    Attributes:
        file: Its name in the folder.
        size: Of the file, in bytes.
        sha256: Of the file, in hex.
        schemas: Which schemas of the database are in it.
        contents: What they hold.
        lz4: Columns that were compressed by lz4, each as its quoted table and its name. The dump does not say it,
            since a server that is built without it would refuse the table.
        left_out: Schemas of the database that are not ours and are not in it.
    """

    file: str
    size: int
    sha256: str
    schemas: tuple[str, ...]
    contents: Contents
    lz4: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole backup.

    Attributes:
        format: Of the folder; see ``FORMAT``.
        made_at: The moment as of which the database was copied.
        release: Of Unified Assets, that made it.
        revision: Of the tables.
        server: Version of the PostgreSQL server, as 180004.
        master_keys: For each master key in use one data key that it wraps, in base64, to try the key with.
        readers: Logins that were granted to read, by name. Their passwords are the server's, not the database's.
        unified: The product's database.
        dagster: Dagster's storage; None where there was none, or where it is a part of the product's database.
    """

    format: int = FORMAT
    made_at: datetime
    release: str
    revision: str
    server: int
    master_keys: Mapping[str, str]
    readers: tuple[str, ...]
    unified: Dump
    dagster: Dump | None = None

    @property
    def dumps(self) -> Mapping[str, Dump]:
        """The dumps there are, by what they are of."""
        return {"unified": self.unified, **({"dagster": self.dagster} if self.dagster else {})}


def write(folder: Path, manifest: Manifest) -> None:
    """Write it into a folder, in a form that people can read."""
    (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def read(folder: Path) -> Manifest:
    """Read a backup's manifest.

    Raises:
        BackupError: If the folder is not a backup, or not one of this release or a former one.
    """
    try:
        document = (folder / FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        msg = f"{folder} is not a backup: it has no {FILE}, which a backup is given when it is whole"
        raise BackupError(msg) from None
    try:
        loaded: dict[str, Any] = msgspec.json.decode(document, type=dict)
        if loaded.get("format") != FORMAT:
            msg = f"{folder} is a backup of format {loaded.get('format')!r}; restore it with the release that made it"
            raise BackupError(msg)
        return msgspec.convert(loaded, Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BackupError(f"the backup {folder} is damaged: {FILE} can't be read ({error})") from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """See that the dumps are the files that were written.

    Raises:
        BackupError: If one is missing or was changed.
    """
    for dump in manifest.dumps.values():
        path = folder / dump.file
        if not path.is_file():
            raise BackupError(f"the backup {folder} is damaged: {dump.file} is missing")
        if path.stat().st_size != dump.size or sha256(path) != dump.sha256:
            raise BackupError(
                f"the backup {folder} is damaged: {dump.file} is not what was written; take another backup"
            )


def sha256(path: Path) -> str:
    """The hash of a file, in hex, read block by block."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
