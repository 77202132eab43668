"""The server that comes with the package: shared by processes, private to its user, gone with the last."""

import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from unified.store import embedded
from unified.store.database import beside
from unified.store.errors import UnreachableError

# Opens the server, says so, and waits for a line before it leaves.
USER = """
import sys
from pathlib import Path
from unified.store import embedded
embedded.start(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An installation's folder; whatever server is left in it is stopped."""
    yield tmp_path
    embedded.start(tmp_path)
    embedded.leave(tmp_path)
    assert not _is_running(tmp_path)


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
    assert _is_running(folder)
    embedded.leave(folder)
    assert not _is_running(folder)


def test_a_killed_user_does_not_keep_it_alive(folder: Path, another: Start) -> None:
    victim = another()
    embedded.start(folder)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    embedded.leave(folder)
    assert not _is_running(folder)


def test_it_starts_again_where_it_was(folder: Path) -> None:
    url = beside(embedded.start(folder), "postgres")
    _query(url, "CREATE TABLE kept ()")
    embedded.leave(folder)
    assert embedded.start(folder) == embedded.start(folder)
    assert _query(url, "SELECT to_regclass('kept')::text") == "kept"
    embedded.leave(folder)


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


def _query(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def _is_running(folder: Path) -> bool:
    return (folder / "postgres" / "postmaster.pid").exists()
