"""A backup of a database at work, killed at its worst moments, restored on another server where all of it goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import pytest

from tests.conftest import AddConnection, connectors, execute
from tests.unified.api.pages import seeds
from tests.waiting import LIMIT_SECONDS
from unified.kit.secrets import Secret
from unified.schema.entities import CUSTOMERS
from unified.store.backups import contents, making, manifest, programs, proving
from unified.store.backups.making import back_up
from unified.store.backups.manifest import BackupError, Contents, Manifest, Table
from unified.store.backups.restoring import check_keys, restore
from unified.store.database import Database
from unified.store.readers import granted
from unified.store.records import tables
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, fingerprint, generate_key
from unified.store.server import embedded
from unified.store.server.urls import beside
from unified.store.workspaces import workspaces

KEY = generate_key()
PROVIDER = LocalKeyProvider([KEY])
SECRET = "sk_test_fake_backup"
RAW = b'{"object": "customer", "livemode": true}'
ADD = "INSERT INTO workspaces (id, slug, name) SELECT i, 's' || i, 'busy' FROM gen_random_uuid() AS i"


def silent(_: str) -> None:
    """Nobody listens."""


def dagster(url: str) -> str:
    return beside(url, f"{psycopg.conninfo.conninfo_to_dict(url)['dbname']}_dagster")


def variables(url: str) -> dict[str, str]:
    storage = dagster(url).replace("://", "+psycopg2://")
    return {**os.environ, "DATABASE_URL": url, "DAGSTER_POSTGRES_URL": storage, "UNIFIED_MASTER_KEYS": KEY}


def databases(url: str) -> set[str]:
    with psycopg.connect(beside(url, "postgres")) as conn:
        return {name for (name,) in conn.execute("SELECT datname FROM pg_database").fetchall()}


@contextmanager
def at_work(url: str) -> Iterator[None]:
    """While a session adds rows and changes those there are."""
    ended = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            while not ended.is_set():
                conn.execute(ADD)
                conn.execute("UPDATE workspaces SET name = name || '.' WHERE name LIKE 'busy%'")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def kill_when(seen: Callable[[], object], url: str, *arguments: str) -> None:
    """Start a command of `unified`, and kill it at a moment."""
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("unified")), *arguments],
        env=variables(url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + LIMIT_SECONDS
    while not seen():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL


@dataclass(frozen=True)
class Backup:
    """A backup that was made, and what is in it.

    Attributes:
        folder: Where it is.
        made: What it says of itself.
        source: The database it was made of.
        connection: A connection that has a credential.
        reader: The login of a reader.
    """

    folder: Path
    made: Manifest
    source: Database
    workspace: UUID
    connection: UUID
    reader: str


def _customers(workspace: UUID, connection: UUID) -> StreamKey:
    return StreamKey(workspace, connection, "stripe", CUSTOMERS, "customers")


@pytest.fixture
async def backup(
    database: Database, workspace: UUID, add_connection: AddConnection, tmp_path: Path
) -> Backup:
    url, folder = database.url, tmp_path / "backup"
    connection = await add_connection(workspace)
    await CredentialStore(database, PROVIDER).put(
        workspace, connection, "api_key", {"api_key": Secret(SECRET)}
    )
    await workspaces.update(database, workspace, compresses_raw=True, actor="tests")
    await seeds.record(database, _customers(workspace, connection), *map(str, range(100)), raw=RAW)
    reader = f"reader_{workspace.hex[:8]}"
    await granted.grant(database, workspace, reader, own_schema=True)
    execute(
        url, f"CREATE TABLE {reader}.built AS SELECT 1 AS x", f"ALTER TABLE {reader}.built OWNER TO {reader}"
    )
    execute(url, "CREATE SCHEMA theirs", "CREATE TABLE theirs.own AS SELECT 1 AS x")
    storage = psycopg.conninfo.conninfo_to_dict(dagster(url))["dbname"]
    execute(beside(url, "postgres"), f"CREATE DATABASE {storage}")
    try:
        execute(dagster(url), "CREATE TABLE runs AS SELECT generate_series(1, 3) AS id")
        unfinished = tmp_path / "backup.unfinished"
        kill_when((unfinished / "postgres" / "postmaster.pid").exists, url, "backup", str(folder))
        assert not folder.exists()
        with pytest.raises(BackupError, match="is not a backup"):
            manifest.read(unfinished)
        with at_work(url):
            made = back_up(url, dagster(url), folder, say=silent)
        assert not unfinished.exists(), "what the killed one left is gone, its server as well"
        with pytest.raises(BackupError, match="exists already"):
            back_up(url, dagster(url), folder, say=silent)
    finally:
        execute(beside(url, "postgres"), f"DROP DATABASE {storage} WITH (FORCE)")
    return Backup(folder, made, database, workspace, connection, reader)


async def test_what_was_backed_up_at_work_goes_on_elsewhere(backup: Backup, tmp_path: Path) -> None:
    folder, made, reader = backup.folder, backup.made, backup.reader
    assert manifest.read(folder) == made
    assert sorted(path.name for path in folder.iterdir()) == ["dagster.dump", "manifest.json", "unified.dump"]
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.glob("*.dump"))} == {0}
    assert SECRET.encode() not in (folder / "manifest.json").read_bytes()
    assert KEY not in (folder / "manifest.json").read_text()
    assert made.unified.left_out == ("theirs",)
    assert made.unified.contents.tables[f"{reader}.built"].rows == 1
    assert made.readers == (reader,)
    assert list(made.master_keys) == [fingerprint(KEY)]
    with pytest.raises(
        BackupError, match=rf"master key {fingerprint(KEY)}, which is not in.*Nothing was restored"
    ):
        await check_keys(made, LocalKeyProvider([generate_key()]))

    home = tmp_path / "elsewhere"
    home.mkdir()
    url = beside(embedded.start(home), "restored")
    try:
        kill_when(lambda: "restored_restoring" in databases(url), url, "restore", str(folder))
        assert "restored" not in databases(url), "there is nothing or all of it"
        execute(beside(url, "postgres"), "CREATE DATABASE restored")
        execute(url, "CREATE TABLE somebodys ()")
        with pytest.raises(BackupError, match="the database restored exists and is not empty"):
            restore(folder, made, url, dagster(url), connectors(), say=silent)
        execute(url, "DROP TABLE somebodys")
        said = restored_by_command(url, folder)
        assert "Restored and compared" in said.stdout
        assert f"`unified db grant-reader` gives them one: {reader}" in said.stderr
        assert databases(url) >= {"restored", "restored_dagster"}
        assert not {name for name in databases(url) if name.endswith("_restoring")}
        with psycopg.connect(dagster(url)) as conn:
            assert conn.execute("SELECT sum(id), current_setting('timezone') FROM runs").fetchone() == (
                6,
                "UTC",
            )
        await goes_on(url, backup)
        execute(url, "DELETE FROM audit_log WHERE ctid = (SELECT min(ctid) FROM audit_log)")
        with pytest.raises(BackupError, match=r"public\.audit_log has [\d,]+ rows instead of"):
            proving.compare(url, "unified", made.unified)
    finally:
        embedded.leave(home)


def restored_by_command(url: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("unified")), "restore", str(folder)]
    return subprocess.run(command, env=variables(url), capture_output=True, text=True, check=True)


async def goes_on(url: str, backup: Backup) -> None:
    """What was restored opens: credential and raw record; tenants stay apart, and its reader can be let in again."""
    async with Database.open(url) as db:
        store = CredentialStore(db, PROVIDER)
        secrets = await store.reveal(backup.workspace, backup.connection, actor="tests", purpose="test")
        assert secrets["api_key"].reveal() == SECRET
        async with db.workspace(backup.workspace) as conn:
            seen = await (await conn.execute("SELECT slug FROM workspaces")).fetchall()
            assert await tables.body(conn, _customers(backup.workspace, backup.connection), "7") == RAW
        assert seen == [("acme",)]
        assert [one.name for one in await granted.listed(db)] == [backup.reader]
        await granted.grant(db, backup.workspace, backup.reader, own_schema=True)


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_dump_is_refused_before_anything_is_touched(
    damage: str, server_url: str, tmp_path: Path
) -> None:
    made = small(tmp_path)
    dump = tmp_path / "unified.dump"
    {
        "cut": lambda: dump.write_bytes(b"du"),
        "changed": lambda: dump.write_bytes(b"dumq"),
        "gone": dump.unlink,
    }[damage]()
    with pytest.raises(BackupError, match=r"is damaged: unified\.dump"):
        restore(
            tmp_path,
            made,
            beside(server_url, "test_never"),
            beside(server_url, "test_never_d"),
            [],
            say=silent,
        )
    assert "test_never" not in databases(server_url)


def test_a_backup_of_a_later_release_is_refused(server_url: str, tmp_path: Path) -> None:
    made = msgspec.structs.replace(small(tmp_path), revision="9001")
    with pytest.raises(
        BackupError, match=r"made by a later release than this one.*restore it with release 9"
    ):
        restore(
            tmp_path,
            made,
            beside(server_url, "test_never"),
            beside(server_url, "test_never_d"),
            [],
            say=silent,
        )
    manifest.write(tmp_path, msgspec.structs.replace(made, format=2))
    with pytest.raises(BackupError, match="is a backup of format 2"):
        manifest.read(tmp_path)
    (tmp_path / manifest.FILE).write_text("{")
    with pytest.raises(BackupError, match="is damaged"):
        manifest.read(tmp_path)


def small(folder: Path) -> Manifest:
    """A backup of nothing."""
    dump = folder / "unified.dump"
    dump.write_bytes(b"dump")
    nothing = Contents({}, {}, {})
    whole = manifest.Dump(dump.name, 4, manifest.sha256(dump), ("public",), nothing)
    return Manifest(
        made_at=psycopg.TimestampFromTicks(0),
        release="9",
        revision="0001",
        server=180000,
        master_keys={},
        readers=(),
        unified=whole,
    )


def test_a_login_that_policies_bind_is_refused(database_url: str, tmp_path: Path) -> None:
    """Its dump would lack every tenant's rows, and look whole."""
    login = f"bound_{os.getpid()}"
    execute(database_url, f"CREATE ROLE {login} LOGIN", f"GRANT pg_read_all_data TO {login}")
    url = database_url.replace("postgres@", f"{login}@")
    with suppress(psycopg.OperationalError):  # where logins need a password
        psycopg.connect(url).close()
        with pytest.raises(BackupError, match=f"ALTER ROLE {login} BYPASSRLS"):
            back_up(url, dagster(url), tmp_path / "backup", say=silent)
        assert list(tmp_path.iterdir()) == []
    execute(database_url, f"DROP OWNED BY {login}", f"DROP ROLE {login}")


def test_a_database_that_is_not_there_is_said_to_be_missing(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no database test_never on this server"):
        back_up(beside(server_url, "test_never"), dagster(server_url), tmp_path / "backup", say=silent)


def test_a_folder_that_can_not_be_made_is_named(server_url: str) -> None:
    folder = Path("/proc/nowhere/backup")
    with pytest.raises(BackupError, match=r"nowhere/backup\.unfinished can't be made"):
        back_up(server_url, dagster(server_url), folder, say=silent)


def test_a_restore_that_fails_leaves_nothing(server_url: str, tmp_path: Path) -> None:
    """What it restored may be what filled the disk."""
    target = beside(server_url, "test_never")
    with pytest.raises(BackupError, match="can't be read"):
        restore(tmp_path, small(tmp_path), target, dagster(target), [], say=silent)
    assert not {name for name in databases(server_url) if name.startswith("test_never")}


def test_a_database_of_something_else_is_refused(server_url: str, tmp_path: Path) -> None:
    url = beside(server_url, "postgres")
    with pytest.raises(BackupError, match="has no tables of Unified Assets"):
        back_up(url, dagster(url), tmp_path / "backup", say=silent)
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_may_go_on_while_all_is_dumped(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def dumping(url: str, file: Path, **_: object) -> Iterator[None]:
        file.write_bytes(b"has the sequence as it is now")
        execute(url, "SELECT nextval('audit_log_id_seq') FROM generate_series(1, 9)")
        yield

    monkeypatch.setattr(programs, "dumping", dumping)
    with making._snapshot(database.url) as conn:
        dumped = contents.sequences(conn, ["public"])
        found = making._dumped(conn, database.url, tmp_path / "x.dump", ["public"])["contents"]
        now = contents.sequences(conn, ["public"])
    assert now != dumped
    assert found.sequences == dumped, "a dump that was begun before has no later numbers"


def test_differences_are_named() -> None:
    wanted = Contents({"a": Table(2, "7"), "b": Table(1, "1"), "c": Table(1, "1")}, {"s": 5}, {"policies": 2})
    found = Contents({"a": Table(1, "3"), "b": Table(1, "2"), "d": Table(0, "0")}, {"s": 4}, {"policies": 1})
    assert contents.differences(wanted, found) == [
        "a has 1 row instead of 2",
        "rows of b differ",
        "c is missing",
        "d is too many",
        "the sequence s is behind",
        "1 policies instead of 2",
    ]
    assert contents.differences(wanted, wanted) == []
    further = Contents(wanted.tables, {"s": 9}, wanted.objects)
    assert contents.differences(wanted, further) == [], "a sequence goes on outside of transactions"
