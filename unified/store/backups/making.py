"""Making a backup: both databases as of a moment, while everything runs, proved before it is called a backup.

All is written into ``NAME.unfinished`` and moved to its place by one rename at the end, so a process that was killed
leaves nothing that looks whole. Master keys are not a part of it: with a backup and its keys in one place, one theft
would open every credential. What restores one: :mod:`unified.store.backups.restoring`.
"""

import base64
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
from psycopg import Connection, IsolationLevel

from unified.store.backups import contents, manifest, programs, proving
from unified.store.backups.manifest import BackupError, Dump, Manifest
from unified.store.errors import ServerVersionError
from unified.store.server.failures import clear_errors
from unified.store.server.urls import check_url, lacks_database

# A migration waits for it, and with it the locks that syncs would then wait for.
_NO_MIGRATION = "SELECT pg_advisory_lock_shared(hashtextextended('unified/migrate', 0))"
# Ours: what everybody's tables are in, the tables' owner's, and what readers made beside them.
_SCHEMAS = """
    SELECT nspname, nspname = 'public' OR nspowner::regrole::text = 'unified_owner' OR nspname = ANY(%s)
    FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1
"""
# Of every release that has readers: whom it granted something, and the logins for a question, which are gone soon.
_READERS = """
    SELECT login::text FROM public.reader_logins JOIN pg_roles ON rolname = login
    WHERE workspace IS NOT NULL AND rolvaliduntil IS NOT DISTINCT FROM 'infinity' ORDER BY 1
"""
_MASTER_KEYS = """
    SELECT DISTINCT ON (master_key_id) master_key_id, wrapped_key FROM public.workspace_keys ORDER BY 1, id
"""
_SPARE = 64 * 2**20


class _Source(NamedTuple):
    """What a dump is to be taken of."""

    made_at: datetime
    server: int
    size: int
    roles: tuple[str, ...]


def back_up(url: str, dagster_url: str, folder: Path, *, say: Callable[[str], None]) -> Manifest:
    """Make a backup and prove it. Syncs, drains and everything else go on; a migration waits.

    Args:
        url: Of the product's database, for a login that no policy binds: a superuser's, or one with BYPASSRLS.
        dagster_url: Of the database that Dagster stores in, also ``postgresql://``; it may be missing.
        folder: The backup; it must not exist yet.
        say: Is told how it gets on.

    Returns:
        What the backup says of itself.

    Raises:
        BackupError: If it can't be made, or what was restored for a comparison differs; then there is none.
        UnreachableError, BusyError: If the server fails.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists already, and no backup is written over it; name another folder")
    with _unfinished(folder) as unfinished, clear_errors("backing up"):
        made, roles = _dump(url, dagster_url, unfinished, say)
        say("Restoring it into a server of its own, to compare …")
        with proving.scratch_server(unfinished / "postgres", roles) as cluster:
            for name, dump in made.dumps.items():
                proving.prove(cluster, name, unfinished, dump)
        manifest.write(unfinished, made)
        _settle(unfinished, folder)
    return made


def _dump(
    url: str, dagster_url: str, unfinished: Path, say: Callable[[str], None]
) -> tuple[Manifest, tuple[str, ...]]:
    """Dump both databases; also the roles that the server has."""
    _refuse_missing(url)
    with _snapshot(url) as conn:
        source = _source(conn)
        _refuse_full_disk(unfinished, source.size)
        revision = _revision(conn)
        readers = _readers(conn)
        found = conn.execute(_SCHEMAS, (list(readers),)).fetchall()
        say(f"Dumping {conn.info.dbname} ({source.size / 2**20:,.0f} MB) …")
        ours = _dumped(conn, url, unfinished / "unified.dump", [name for name, is_ours in found if is_ours])
        keys = {
            key_id: base64.b64encode(key).decode() for key_id, key in conn.execute(_MASTER_KEYS).fetchall()
        }
        left_out = tuple(name for name, is_ours in found if not is_ours)
    made = Manifest(
        made_at=source.made_at,
        release=version("unified-assets"),
        revision=revision,
        server=source.server,
        master_keys=keys,
        readers=readers,
        unified=Dump(**ours, left_out=left_out),
        dagster=_dagster(dagster_url, url, unfinished, say),
    )
    return made, source.roles


def _refuse_missing(url: str) -> None:
    if lacks_database(check_url(url)):
        raise BackupError(
            f"there is no database {_place(url)[-1]} on this server, so there is nothing to back up; see UNIFIED_HOME "
            "or DATABASE_URL"
        )


def _dagster(dagster_url: str, url: str, unfinished: Path, say: Callable[[str], None]) -> Dump | None:
    if _place(dagster_url) == _place(url):
        return None  # in the same database, so in its dump
    if lacks_database(dagster_url):
        return None
    with _snapshot(dagster_url) as conn:
        source = _source(conn)
        say(f"Dumping {conn.info.dbname} ({source.size / 2**20:,.0f} MB) …")
        schemas = [name for name, _ in conn.execute(_SCHEMAS, ([],)).fetchall()]
        return Dump(**_dumped(conn, dagster_url, unfinished / "dagster.dump", schemas))


def _dumped(conn: Connection[Any], url: str, file: Path, schemas: list[str]) -> dict[str, Any]:
    snapshot = conn.execute("SELECT pg_export_snapshot()").fetchone()
    assert snapshot is not None  # noqa: S101 - SELECT of an expression gives one row
    # They go on while all is dumped: these are as far as any row of the snapshot, and pg_dump looks later.
    sequences = contents.sequences(conn, schemas)
    with programs.dumping(url, file, snapshot=snapshot[0], schemas=schemas):
        found = msgspec.structs.replace(contents.measure(conn, schemas), sequences=sequences)
    file.chmod(0o600)
    return {
        "file": file.name,
        "size": file.stat().st_size,
        "sha256": manifest.sha256(file),
        "schemas": tuple(schemas),
        "contents": found,
        "lz4": contents.lz4_columns(conn, schemas),
    }


@contextmanager
def _snapshot(url: str) -> Iterator[Connection[Any]]:
    """A transaction that sees all rows as of one moment, of a login that may."""
    with psycopg.connect(check_url(url), autocommit=True, application_name="unified backup") as conn:
        _refuse_bound(conn)
        if conn.info.server_version // 10_000 > programs.NEWEST_SERVER:
            raise ServerVersionError(
                f"the server is PostgreSQL {conn.info.server_version // 10_000}, and the programs that come with this "
                f"release read up to {programs.NEWEST_SERVER}; back it up with the server's own pg_dump"
            )
        contents.prepare(conn)
        conn.execute(_NO_MIGRATION)
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        with conn.transaction():
            yield conn


def _refuse_bound(conn: Connection[Any]) -> None:
    row = conn.execute(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = session_user"
    ).fetchone()
    if row != (True,):
        login = conn.info.user
        raise BackupError(
            f"{login} sees no workspace's rows, so its backup would lack them: use a superuser's DATABASE_URL, or as "
            f"one ALTER ROLE {login} BYPASSRLS and GRANT pg_read_all_data TO {login}; of a managed server that "
            "allows neither, use the provider's own backups"
        )


def _source(conn: Connection[Any]) -> _Source:
    row = conn.execute("SELECT now(), pg_database_size(current_database())").fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression gives one row
    roles = conn.execute("SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1").fetchall()
    return _Source(row[0], conn.info.server_version, row[1], tuple(name for (name,) in roles))


def _revision(conn: Connection[Any]) -> str:
    if conn.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
        raise BackupError(
            f"the database {conn.info.dbname} has no tables of Unified Assets, so there is nothing to back up"
        )
    row = conn.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(row[0]) if row else ""


def _readers(conn: Connection[Any]) -> tuple[str, ...]:
    return tuple(name for (name,) in conn.execute(_READERS).fetchall())


def _place(url: str) -> tuple[Any, ...]:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return tuple(parts.get(key) for key in ("host", "hostaddr", "port", "dbname"))


def _refuse_full_disk(folder: Path, size: int) -> None:
    """The dump is smaller than the database, and the copy that it is compared by about as large."""
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise BackupError(
            f"{folder.parent} has {free / 2**20:,.0f} MB left, and the backup with the copy that proves it takes up to "
            f"{(size + _SPARE) / 2**20:,.0f} MB for a while; name a folder on another disk"
        )


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """The folder to write to, emptied of what a killed backup left there; gone at the end if it is still there."""
    unfinished = folder.absolute().with_name(f"{folder.name}.unfinished")
    try:
        unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupError(f"{unfinished} can't be made: {error.strerror}; name another folder") from error
    lock = os.open(unfinished, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another `unified backup` is writing {folder} just now") from None
        _empty(unfinished)
        try:
            yield unfinished
        finally:
            _empty(unfinished)
            with suppress(FileNotFoundError):
                unfinished.rmdir()
    finally:
        os.close(lock)


def _empty(unfinished: Path) -> None:
    proving.remove(unfinished / "postgres")
    for file in unfinished.glob("*"):
        file.unlink()


def _settle(unfinished: Path, folder: Path) -> None:
    """Have all of it on disk, then at its place."""
    for file in unfinished.iterdir():
        _sync(file)
    unfinished.chmod(0o700)  # the scratch server's user had to pass
    _sync(unfinished)
    try:
        unfinished.rename(folder)
    except OSError as error:
        raise BackupError(
            f"the backup can't be moved to {folder}: {error.strerror}; name another folder"
        ) from error
    _sync(folder.absolute().parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
