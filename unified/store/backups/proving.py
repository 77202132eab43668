"""A dump proved: restored into a server of its own, which is gone afterwards, and compared with what was dumped.

That server comes from the wheel and runs beside the backup, whatever server the database is on: it burdens no other
one, needs no right there, and shows that the dump is of use without it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from unified.store.backups import contents, programs
from unified.store.backups.manifest import BackupError, Dump
from unified.store.server.cluster import Cluster

# Nothing here has to outlive a power cut. It is of use to nobody but the process that made it.
_SETTINGS = """\
unix_socket_permissions = 0700
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_connections = 20
autovacuum = off
jit = off
log_min_messages = fatal
timezone = 'UTC'
"""
_LOGINS = "local all all trust\n"
_SUPERUSER = "postgres"


@contextmanager
def scratch_server(folder: Path, roles: Sequence[str]) -> Iterator[Cluster]:
    """A new server for the length of a block.

    Args:
        folder: Where its data go.
        roles: Names of roles that it has, none of which can log in.
    """
    cluster = Cluster(folder.resolve(), _SETTINGS, _LOGINS)
    try:
        cluster.start()
        with psycopg.connect(cluster.url(_SUPERUSER), autocommit=True) as conn:
            for role in roles:
                if role != _SUPERUSER:
                    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        yield cluster
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """End a scratch server, also one that a killed process left behind, and remove its data."""
    cluster = Cluster(folder.resolve(), _SETTINGS, _LOGINS)
    if cluster.process():
        cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.with_name(f"{folder.name}.making"), ignore_errors=True)


def prove(cluster: Cluster, name: str, folder: Path, dump: Dump) -> None:
    """Restore a dump into a new database of a scratch server, compare it, and drop it again.

    Raises:
        BackupError: If it can't be restored, or is not what was dumped.
    """
    with psycopg.connect(cluster.url(_SUPERUSER), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = cluster.url(name)
        programs.restore(folder / dump.file, url)
        compare(url, name, dump)
        conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def compare(url: str, name: str, dump: Dump) -> None:
    """Compare a database that was restored with what was dumped, row by row by their hashes.

    Raises:
        BackupError: If they differ, with the tables.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        contents.prepare(conn)
        found = contents.differences(dump.contents, contents.measure(conn, dump.schemas))
    if found:
        raise BackupError(
            f"restored for a comparison, {name} differs from what was copied: {contents.said(found)}"
        )
