"""The rooms of the house: who may import whom. docs/architecture.md draws the same table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up: a room imports only from rooms before it.
ROOMS = (
    "unified_schema",
    "adapters",
    "store",
    "sync",
    "resources",
    "unified_assets",
    "sensors",
    "api",
    "sandbox",
    "cli",
)
# The front door gathers what stands above it.
FRONT_DOOR = "unified_assets/definitions.py"
# What a room leaves to others, whatever its place.
KEPT_OUT = {
    "unified_schema": {"dagster", "httpx", "psycopg"},
    "adapters": {"dagster", "psycopg"},
    "store": {"dagster", "httpx"},
    "sync": {"dagster", "psycopg"},
    "unified_assets": {"httpx", "psycopg"},
    "sandbox": {"dagster", "psycopg", *ROOMS} - {"sandbox"},
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir()])
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    offences = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in imports_of(path)
        if (name in ROOMS and name not in allowed and str(path.relative_to(ROOT)) != FRONT_DOOR)
        or name in KEPT_OUT.get(room, ())
    }
    assert not offences


def test_every_package_at_the_top_is_a_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(ROOMS)


def test_the_reader_of_imports_sees_what_is_there(tmp_path: Path) -> None:
    source = tmp_path / "sample.py"
    source.write_text("import sys\nfrom dagster import asset\nimport psycopg.rows\n")
    assert set(imports_of(source)) == {"sys", "dagster", "psycopg"}
