"""The real command in a home of the module's own, whose server is kept running between the commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FORGETFUL, execute
from tests.unified.cli import forked
from tests.waiting import LIMIT_SECONDS
from unified.cli.installation import migrate_database
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.migrate import ensure_database
from unified.store.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN_VARIABLES = ("DATABASE_URL", "DAGSTER_", "UNIFIED_")


@dataclass(frozen=True)
class Unified:
    """`unified` in a home of its own."""

    home: Path

    def environment(self, **variables: str) -> dict[str, str]:
        outer = {name: value for name, value in os.environ.items() if not name.startswith(OWN_VARIABLES)}
        return {**outer, "UNIFIED_HOME": str(self.home), **variables}

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).with_name("unified")), *arguments]

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return forked.run(arguments, self.environment(**variables), stdin)

    def ok(self, *arguments: str, stdin: str = "", **variables: str) -> str:
        done = self.run(*arguments, stdin=stdin, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """While `unified serve` runs: where it listens."""
        process = subprocess.Popen(
            self.command("serve", "--port", "0"), env=self.environment(), stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        while "Listening on" not in line:
            assert line, "it ended"
            line = process.stderr.readline()
        yield re.findall(r"Listening on (http://\S+);", line)[0]
        process.terminate()
        process.communicate(timeout=LIMIT_SECONDS)

    def refused(self, *arguments: str, code: int = 1, stdin: str = "", **variables: str) -> str:
        """The one line that says why."""
        done = self.run(*arguments, stdin=stdin, **variables)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        line = done.stderr.removesuffix("\n")
        assert line.startswith("unified: "), line
        assert "\n" not in line
        return line


@pytest.fixture(scope="session")
def migrated_home(quick_folder: Path) -> Path:
    """A home with its tables, whose server has stopped: to be copied, in a tenth of the time that a new one takes."""
    home = quick_folder / "migrated"
    home.mkdir()
    url = embedded.start(home)
    ensure_database(url)
    migrate_database(url)
    execute(url, *(f"ALTER SYSTEM SET {one}" for one in FORGETFUL))
    embedded.leave(home)
    return home


@pytest.fixture(scope="module")
def unified(migrated_home: Path, quick_folder: Path) -> Iterator[Unified]:
    home = Path(mkdtemp(prefix="home-", dir=quick_folder))
    # As root its files belong to the server's user, which shutil would not keep.
    subprocess.run(["cp", "-a", migrated_home / "postgres", home], check=True)  # noqa: S607 - wherever it is
    embedded.start(home)
    yield Unified(home)
    embedded.leave(home)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    stripe = StripeSandbox(customers=60, invoices=80, limits=None)
    hubspot = HubSpotSandbox(contacts=60, companies=10, invoices=40, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as server:
        yield server
