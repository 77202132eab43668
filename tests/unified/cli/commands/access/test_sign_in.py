"""`unified sign-in` says which server its link leads to."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.unified.cli.conftest import Unified
from unified.store.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def address(unified: Unified) -> Iterator[str]:
    """Where this installation's server listens."""
    unified.ok("workspaces", "add", "acme")
    with unified.serving() as url:
        yield url


def test_its_own_server_is_taken_for_granted(unified: Unified, address: str) -> None:
    done = unified.run("sign-in", "acme", "--public-url", address)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{address}/sign-in/")
    asked = [
        one for one in unified.json("tokens", "list", "--workspace", "acme") if "which server" in one["name"]
    ]
    assert all(one["revoked_at"] for one in asked)
    assert asked


def test_a_server_that_is_not_there_is_said(unified: Unified, address: str) -> None:
    done = unified.run("sign-in", "acme", "--public-url", "http://127.0.0.1:9")
    assert done.returncode == 0
    assert "Nobody answers at http://127.0.0.1:9 yet" in done.stderr


def test_another_installations_server_is_refused(
    migrated_home: Path, address: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("other")
    subprocess.run(["cp", "-a", migrated_home / "postgres", home], check=True)  # noqa: S607 - wherever it is
    embedded.start(home)
    try:
        other = Unified(home)
        done = other.run("sign-in", "--public-url", address)
        assert done.stdout.startswith(f"{address}/set-up/uad_")
        assert "name the first one by this link" in done.stderr
        assert "is not a member of any workspace" in other.refused("sign-in", "--member", "ada")
        other.ok("workspaces", "add", "acme")
        line = other.refused("sign-in", "acme", "--public-url", address)
        assert f"the server at {address} is another installation's" in line
        assert str(home) in line
        names = [one["name"] for one in other.json("tokens", "list", "--workspace", "acme")]
        assert names == ["unified sign-in: which server"], "no link was made"
    finally:
        embedded.leave(home)
