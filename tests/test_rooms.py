"""What of the house import-linter does not see: that each room can be taken in at a glance.

Who may import whom is a contract in pyproject.toml, checked by ``lint-imports``.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
MOST_MODULES = 15


def test_a_room_has_fifteen_modules_at_most() -> None:
    rooms = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    sizes = {
        str(room.relative_to(ROOT)): sum(path.name != "__init__.py" for path in room.glob("*.py"))
        for room in rooms
        if room.name != "versions"  # of migrations: one for each, read in their order
    }
    assert sizes.keys() >= {"unified/store", "adapters/stripe"}
    assert {room: size for room, size in sizes.items() if size > MOST_MODULES} == {}


def test_every_room_says_what_it_holds() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
        if not path.read_text().startswith('"""')
    ]
    assert silent == []


def test_the_contracts_cover_every_package_at_the_top() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert linter["root_packages"] == PACKAGES
