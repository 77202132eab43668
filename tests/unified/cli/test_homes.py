"""Homes that can't be: each is refused in one line that gives the real reason, and nothing is left half made."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.unified.cli.conftest import Unified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = (("status",), ("migrate",), ("demo",), ("dev", "--port", "0"), ("connections", "list"))


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_file_in_its_place(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "home").write_text("kept")
    line = Unified(tmp_path / "home").refused(*arguments)
    assert f"no data can be kept in {tmp_path}/home: it is a file, not a folder; set UNIFIED_HOME" in line
    assert (tmp_path / "home").read_text() == "kept"


@pytest.mark.parametrize(
    ("home", "reason"),
    [("file/home", "Not a directory"), ("n" * 300, "File name too long"), ("loop/home", "symbolic links")],
)
def test_one_that_cannot_be_made(tmp_path: Path, home: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert reason in Unified(tmp_path / home).refused("workspaces", "add", "acme")


def test_looking_makes_none_and_what_begins_is_said(tmp_path: Path) -> None:
    unified = Unified(tmp_path / "mistyped")
    for looks in (("status",), ("query", "SELECT 1"), ("db", "url"), ("backup",), ("serve",)):
        line = unified.refused(*looks)
        assert f"there is no installation in {unified.home}: " in line
        assert "UNIFIED_HOME names another folder" in line
    assert not unified.home.exists()
    done = unified.run("workspaces", "add", "acme")
    assert done.returncode == 0, done.stderr
    assert f"A new installation begins in {unified.home}. UNIFIED_HOME names another folder" in done.stderr
    assert "A new installation" not in unified.run("workspaces", "add", "globex").stderr


@pytest.mark.parametrize("name", ["postgres", "dagster", "master.keys", "postgres.lock"])
def test_something_else_where_a_part_of_it_belongs(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / name).mkdir() if name in ("master.keys", "postgres.lock") else (home / name).touch()
    arguments = ("migrate",) if name != "master.keys" else ("connections", "add", "stripe", "main")
    assert str(home / name) in last_line(
        Unified(home).run(*arguments, UNIFIED_SECRET_API_KEY="sk_test_fake_acme")
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command ended, below what it said of its progress."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB, less than a new database takes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder))
    if not mounted:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> bool:
    return not subprocess.run(["/bin/mount", *arguments], capture_output=True, check=False).returncode


def test_a_disk_that_is_read_only(small_disk: Path) -> None:
    assert mount("-o", "remount,ro", str(small_disk))
    assert "Read-only file system" in last_line(Unified(small_disk / "home").run("workspaces", "add", "acme"))


def test_a_disk_without_room_for_a_database(small_disk: Path) -> None:
    assert "No space left on device" in last_line(
        Unified(small_disk / "home").run("workspaces", "add", "acme")
    )


def test_a_disk_that_is_full_to_the_last_byte(small_disk: Path) -> None:
    unified = Unified(small_disk / "home")
    (unified.home / "postgres").mkdir(parents=True)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(30_000_000))
    assert "No space left on device" in unified.refused("status")
