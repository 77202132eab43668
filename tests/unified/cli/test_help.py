"""There is help for everything, at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.cli.conftest import Unified
from unified.cli.main import _PANELS, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = [name for commands in _PANELS.values() for name in commands]


def commands_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, sub in getattr(command, "commands", {}).items():
        yield from commands_of(f"{name} {inner}", sub)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_every_option_is_explained(name: str) -> None:
    for path, command in commands_of(name, load(name)):
        assert command.help, path
        unexplained = [param.name for param in command.params if not getattr(param, "help", None)]
        assert not unexplained, path


def test_the_table_of_commands_is_the_help(tmp_path: Path) -> None:
    unified = Unified(tmp_path)
    shown = unified.ok("--help")
    assert all(f"  {name} " in shown for name in NAMES)
    assert "private" in unified.ok("connections", "add", "--help")


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_help_imports_nothing_slow() -> None:
    assert not modules_after("import unified.cli.main") & {
        "dagster",
        "psycopg",
        "pydantic",
        "httpx",
        "rich",
        "store",
    }


def test_only_the_demo_imports_dagster_into_its_process() -> None:
    loads = "\n".join(f"load({name!r})" for name in NAMES)
    assert "dagster" not in modules_after(f"from unified.cli.main import load\n{loads}")


def test_a_mistyped_command_is_one_line(tmp_path: Path) -> None:
    assert "Did you mean 'sync'" in Unified(tmp_path).refused("synk", code=2)
