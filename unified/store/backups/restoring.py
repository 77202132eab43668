"""Restoring a backup: into new databases beside their places, compared, brought up to this release, then renamed.

One that failed leaves nothing. A process that was killed leaves databases named ``…_restoring``, which the next one
removes; under the databases' own names there is nothing or all of it.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from unified.kit.errors import counted
from unified.store import migrate
from unified.store.backups import contents, manifest, programs, proving
from unified.store.backups.manifest import BackupError, Dump, Manifest
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.migrations import HEAD
from unified.store.secrets.keys import KeyProvider, MasterKeyError
from unified.store.server.failures import clear_errors
from unified.store.server.roles import READER_ROLE
from unified.store.server.urls import beside, check_url, lacks_database

_MAINTENANCE = "postgres"
_ALONE = "SELECT pg_try_advisory_lock(hashtextextended('unified/restore', 0))"
_RELATIONS = """
    SELECT count(*) FROM pg_class WHERE relnamespace IN
        (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
"""
_JOBS = 2


async def check_keys(made: Manifest, provider: KeyProvider) -> None:
    """See that the backup's credentials can be read here, before anything is restored.

    Raises:
        BackupError: If a master key that its data keys are wrapped by is not here.
    """
    for key_id, wrapped in made.master_keys.items():
        try:
            await provider.unwrap(base64.b64decode(wrapped), key_id)
        except MasterKeyError as error:
            raise BackupError(
                f"the credentials in this backup can't be read here: {error}. A backup holds no master key; bring the "
                "one that was kept apart from it. Nothing was restored"
            ) from error


def restore(
    folder: Path,
    made: Manifest,
    url: str,
    dagster_url: str,
    connectors: Sequence[ConnectorEntry],
    *,
    say: Callable[[str], None],
) -> None:
    """Restore both databases, where there are none.

    Args:
        folder: The backup.
        made: Its manifest.
        url: Of the product's database, which must not exist or be empty, for a superuser.
        dagster_url: Of Dagster's storage, likewise, also ``postgresql://``.
        connectors: As for :func:`unified.store.migrate.migrate`, which brings the tables up to this release.
        say: Is told how it gets on.

    Raises:
        BackupError: If the backup is damaged, the place is taken or the login may not; then nothing was changed.
        UnreachableError: If the server can't be reached.
    """
    _refuse_later_release(made)
    say("Checking the files …")
    manifest.check_files(folder, made)
    targets = {name: (url if name == "unified" else dagster_url) for name in made.dumps}
    with clear_errors("restoring"), _alone(url) as server:
        for target in targets.values():
            _refuse_taken(target)
        _create_roles(url, made.readers)
        with _dropped_on_failure(targets.values()):
            for name, target in targets.items():
                _fill(folder, made.dumps[name], target, name, say)
            say("Bringing the tables up to this release …")
            migrate.migrate(_scratch(url), connectors)
            if "dagster" in targets:
                migrate.set_utc(_scratch(dagster_url))
            _rename(server, url, list(targets.values()))


def _refuse_later_release(made: Manifest) -> None:
    if made.revision > HEAD:
        raise BackupError(
            f"the backup is of tables at revision {made.revision}, made by a later release than this one, which knows "
            f"revisions up to {HEAD}; restore it with release {made.release}"
        )


@contextmanager
def _alone(url: str) -> Iterator[Connection[Any]]:
    """A superuser's session beside the databases, one restoring process at a time."""
    with psycopg.connect(beside(check_url(url), _MAINTENANCE), autocommit=True) as conn:
        is_super = conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone()
        if is_super != (True,):
            raise BackupError(
                f"{conn.info.user} is not a superuser, and only one may restore what other roles own; use the "
                "administrator's DATABASE_URL"
            )
        if conn.execute(_ALONE).fetchone() != (True,):
            raise BackupError("another `unified restore` works on this server just now")
        yield conn


def _refuse_taken(url: str) -> None:
    """A database that exists and holds anything stays as it is."""
    if lacks_database(url):
        return
    with psycopg.connect(url) as conn:
        taken = conn.execute(_RELATIONS).fetchone() != (0,)
        name = conn.info.dbname
    if taken:
        raise BackupError(
            f"the database {name} exists and is not empty, and a backup is not restored over it; name another one in "
            "DATABASE_URL, set UNIFIED_HOME to a new folder, or drop it first"
        )


def _create_roles(url: str, readers: Sequence[str]) -> None:
    """The roles that own what is in the dumps, and the readers' logins, which have no password until granted again."""
    maintenance = beside(url, _MAINTENANCE)
    migrate.create_roles(maintenance)
    with psycopg.connect(maintenance, autocommit=True) as conn:
        for reader in readers:
            if conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (reader,)).fetchone() is None:
                statement = sql.SQL("CREATE ROLE {} LOGIN INHERIT IN ROLE {}")
                conn.execute(statement.format(sql.Identifier(reader), sql.Identifier(READER_ROLE)))


@contextmanager
def _dropped_on_failure(targets: Iterable[str]) -> Iterator[None]:
    """Drop what was restored beside its place if a block fails: it may be what filled the disk."""
    try:
        yield
    except BaseException:
        for target in targets:
            with suppress(psycopg.Error):
                _drop_scratch(target)
        raise


def _drop_scratch(target: str) -> None:
    scratch = sql.Identifier(_name(_scratch(target)))
    with psycopg.connect(beside(target, _MAINTENANCE), autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(scratch))


def _fill(folder: Path, dump: Dump, target: str, name: str, say: Callable[[str], None]) -> None:
    """Restore a dump beside its place, and compare."""
    scratch = sql.Identifier(_name(_scratch(target)))
    _drop_scratch(target)
    with psycopg.connect(beside(target, _MAINTENANCE), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(scratch))
        with_lz4 = bool(dump.lz4) and contents.has_lz4(conn)
        if with_lz4:
            conn.execute(sql.SQL("ALTER DATABASE {} SET default_toast_compression = lz4").format(scratch))
    say(f"Restoring {counted(dump.contents.rows, 'row')} of {name} …")
    programs.restore(folder / dump.file, _scratch(target), jobs=_JOBS)
    say(f"Comparing {name} …")
    proving.compare(_scratch(target), name, dump)
    if with_lz4:
        with psycopg.connect(_scratch(target), autocommit=True) as conn:
            contents.compress_by_lz4(conn, dump.lz4)
            conn.execute(sql.SQL("ALTER DATABASE {} RESET default_toast_compression").format(scratch))


def _rename(server: Connection[Any], url: str, targets: Sequence[str]) -> None:
    """Give the databases their names, on one server all at once; of two servers, ours comes last."""
    apart = [target for target in targets if beside(target, _MAINTENANCE) != beside(url, _MAINTENANCE)]
    for target in apart:
        with psycopg.connect(beside(target, _MAINTENANCE), autocommit=True) as conn:
            _rename_all(conn, [target])
    _rename_all(server, [target for target in targets if target not in apart])


def _rename_all(conn: Connection[Any], targets: Sequence[str]) -> None:
    for target in targets:  # empty, as was seen
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(_name(target))))
    with conn.transaction():
        for target in targets:
            names = sql.Identifier(_name(_scratch(target))), sql.Identifier(_name(target))
            conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def _scratch(url: str) -> str:
    return beside(url, f"{_name(url)}_restoring")
