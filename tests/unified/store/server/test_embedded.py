"""The server that comes with the package: shared by processes, private to its user, gone with the last."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from tests.conftest import connectors
from tests.unified.store.server.conftest import is_running
from unified.store.database import Database
from unified.store.errors import UnreachableError
from unified.store.migrate import migrate
from unified.store.server import embedded
from unified.store.server.cluster import Cluster
from unified.store.server.urls import beside

# Opens the server, says so, misses it when asked to, and leaves at any other line.
USER = """
import sys
from pathlib import Path
from unified.store.server import embedded
url = embedded.start(Path(sys.argv[1]))
print("open", flush=True)
while sys.stdin.readline().strip() == "revive":
    print(embedded.revive(url), flush=True)
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def another(folder: Path) -> Iterator[Start]:
    """Starts another process that uses the server."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_last_user_to_leave_stops_it(folder: Path, another: Start) -> None:
    first = another()
    embedded.start(folder)
    first.communicate("leave\n")
    assert is_running(folder)
    embedded.leave(folder)
    assert not is_running(folder)


def test_a_killed_user_does_not_keep_it_alive(folder: Path, another: Start) -> None:
    victim = another()
    embedded.start(folder)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    embedded.leave(folder)
    assert not is_running(folder)


def test_it_starts_again_where_it_was(folder: Path) -> None:
    url = beside(embedded.start(folder), "postgres")
    _query(url, "CREATE TABLE kept ()")
    embedded.leave(folder)
    assert embedded.start(folder) == embedded.start(folder)
    assert _query(url, "SELECT to_regclass('kept')::text") == "kept"
    embedded.leave(folder)


def test_on_a_full_disk_it_ends_at_once_and_keeps_what_was_committed(folder: Path) -> None:
    url = beside(embedded.start(folder), "postgres")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE kept AS SELECT FROM generate_series(1, 10)")
        row = conn.execute("SELECT pg_relation_filepath('kept')").fetchone()
    assert row is not None
    file = folder / "postgres" / row[0]
    kept = file.rename(file.with_suffix(".kept"))
    file.symlink_to("/dev/full")
    embedded.leave(folder)
    log = (folder / "postgres" / "log").read_text()
    assert "No space left on device" in log
    assert "received immediate shutdown request" not in log, "it was not waited for in vain"
    kept.rename(file)
    embedded.start(folder)
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT count(*) FROM kept").fetchone() == (10,)


def test_only_its_user_gets_in_and_only_by_the_socket(folder: Path) -> None:
    url = beside(embedded.start(folder), "postgres")
    assert _query(url, "SHOW listen_addresses") == ""
    socket = Path(str(_query(url, "SHOW unix_socket_directories"))) / ".s.PGSQL.5432"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "postgres").stat().st_mode) == 0o700
    assert _query(url, "SHOW max_connections") == "200"
    embedded.leave(folder)


def test_home_is_closed_to_others_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_HOME", str(tmp_path / "a" / "home"))
    home = embedded.home()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    embedded.start(home)
    # The server's own user may have to pass through; nobody else may look inside.
    assert stat.S_IMODE(home.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWOTH) == 0
    embedded.leave(home)
    monkeypatch.delenv("UNIFIED_HOME")
    monkeypatch.chdir(tmp_path)
    assert embedded.home() == tmp_path / ".unified"


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    url = beside(embedded.start(folder), "postgres")
    assert _query(url, "SELECT 1") == 1
    embedded.leave(folder)


def test_a_server_that_can_not_start_says_where_its_log_is(tmp_path: Path) -> None:
    embedded.start(tmp_path)
    embedded.leave(tmp_path)
    (tmp_path / "postgres" / "postgresql.conf").write_text("no such setting = 1\n")
    with pytest.raises(UnreachableError, match="log"):
        embedded.start(tmp_path)


def test_its_processes_know_nothing_of_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "postgresql://admin:canary-of-the-environment@db.example.com/other"
    monkeypatch.setenv("DATABASE_URL", secret)
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", "canary-of-the-environment")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=canary")
    url = beside(embedded.start(folder), "postgres")
    with psycopg.connect(url, options=""):
        server = psutil.Process(_server(folder))
        processes = [server, *server.children(recursive=True)]
        assert len(processes) > 4
        for process in processes:
            # PostgreSQL writes its titles over what it was started with; the kernel still shows the rest.
            assert b"canary" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    embedded.leave(folder)


def test_a_killed_server_is_started_again_by_one_of_those_who_miss_it(
    folder: Path, another: Start, caplog: pytest.LogCaptureFixture
) -> None:
    url = beside(embedded.start(folder), "postgres")
    other = another()
    _query(url, "CREATE TABLE kept ()")
    killed = _kill(folder)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write("revive\n")  # both at once
    other.stdin.flush()
    assert embedded.revive(url)
    assert other.stdout.readline() == "True\n"
    assert _server(folder) != killed
    assert _query(url, "SELECT to_regclass('kept')::text") == "kept"
    assert caplog.text.count("has been started again") <= 1
    other.communicate("leave\n")
    embedded.leave(folder)


async def test_an_open_database_outlives_its_server(folder: Path) -> None:
    url = beside(embedded.start(folder), "unified")
    _query(beside(url, "postgres"), "CREATE DATABASE unified")
    migrate(url, connectors())
    async with Database.open(url) as db:
        for _ in range(2):
            _kill(folder)
            async with db.scheduler() as conn:
                assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
    embedded.leave(folder)


def test_a_cluster_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres.making"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    url = beside(embedded.start(tmp_path), "postgres")
    assert _query(url, "SELECT lower('ÄÖ') || current_setting('server_encoding')") == "äöUTF8"
    assert not half.exists()
    embedded.leave(tmp_path)


def test_a_server_of_anybody_else_is_left_alone(folder: Path) -> None:
    embedded.start(folder)
    _kill(folder)
    assert not embedded.revive("postgresql://user@db.example.com/unified")
    assert _cluster(folder).process() is None
    embedded.leave(folder)


def test_the_number_of_a_killed_server_may_be_another_process_by_now(folder: Path) -> None:
    url = beside(embedded.start(folder), "postgres")
    killed = _kill(folder)
    embedded.leave(folder)
    file = folder / "postgres" / "postmaster.pid"
    for left in (file, folder / "postgres" / ".s.PGSQL.5432.lock"):
        left.write_text(left.read_text().replace(str(killed), str(os.getpid()), 1))
    assert embedded.start(folder) == beside(url, "unified")
    assert _query(url, "SELECT 1") == 1
    embedded.leave(folder)


def test_one_that_can_not_be_started_again_is_left_alone_for_a_while(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = embedded.start(folder)
    _kill(folder)
    (folder / "postgres" / "global" / "pg_control").rename(folder / "pg_control")
    assert not embedded.revive(url)
    assert "pg_control" in caplog.text
    shutil.move(folder / "pg_control", folder / "postgres" / "global" / "pg_control")
    assert not embedded.revive(url)
    assert caplog.text.count("failed") == 1
    embedded.leave(folder)
    assert embedded.start(folder) == url
    embedded.leave(folder)


def test_a_server_that_is_slow_to_start_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = beside(embedded.start(folder), "postgres")
    embedded.leave(folder)
    # Stopped by the system at once, and for longer than the patience would allow if nothing were seen of it.
    asked: list[int] = []
    line = Cluster._line

    def slowly(self: Cluster, number: int) -> str:
        found = line(self, number)
        asked.append(number)
        return f"starting {len(asked)}" if number == 7 and len(asked) < 60 else found

    monkeypatch.setattr("unified.store.server.cluster.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(Cluster, "_line", slowly)
    assert beside(embedded.start(folder), "postgres") == url
    assert len(asked) >= 60
    embedded.leave(folder)


def _cluster(folder: Path) -> Cluster:
    return Cluster((folder / "postgres").resolve(), "", "")


def _server(folder: Path) -> int:
    process = _cluster(folder).process()
    assert process is not None
    return process.pid


def _kill(folder: Path) -> int:
    """SIGKILL the server; its number."""
    process = psutil.Process(_server(folder))
    process.kill()
    process.wait()
    return process.pid


def _query(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None
