"""A connector document as a person uses it: installed, connected, synced, upgraded, removed, each by a process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import execute
from tests.json_api import JsonApi, serving
from tests.unified.sync.connectors import desk
from unified.cli.processes.kept import KeptConnection
from unified.cli.processes.reloading import ReloadedLocations
from unified.store.errors import StoreError
from unified.store.server import embedded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unified.cli.conftest import Unified

ASSETS = """
from unified_assets.definitions import defs
graph = defs.resolve_asset_graph()
print(*sorted(key.to_user_string() for key in graph.get_all_asset_keys()))
print(*sorted(one.name for one in (*defs.schedules, *defs.jobs)))
"""


class _Desk(JsonApi):
    """The system: it wants its key."""

    def get(self) -> None:
        known = self.headers["authorization"] == f"Bearer {desk.KEY}"
        self.answer(200 if known else 401, desk.answers(self.path) if known else {"message": "no"})


class _Dagster(JsonApi):
    """A Dagster's UI that is asked to load its locations."""

    def post(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert "reloadWorkspace" in asked["query"]
        _RELOADS.append(self.headers["authorization"])
        entry = {"locationOrLoadError": {"__typename": "RepositoryLocation"}}
        self.answer(200, {"data": {"reloadWorkspace": {"locationEntries": [entry]}}})


_RELOADS: list[str] = []


def write(path: Path, document: dict[str, Any], exchanges: dict[str, Any] | None = None) -> str:
    path.write_text(json.dumps(document))
    if exchanges is not None:
        path.with_name(f"{path.stem}.exchanges.json").write_text(json.dumps(exchanges))
    return str(path)


def definitions(unified: Unified) -> tuple[set[str], set[str]]:
    """What Dagster would load: keys of assets, names of schedules and jobs."""
    done = subprocess.run(
        [sys.executable, "-c", ASSETS], env=unified.environment(), capture_output=True, text=True, check=True
    )
    assets, names = done.stdout.splitlines()
    return set(assets.split()), set(names.split())


def test_a_document_is_installed_synced_upgraded_and_removed(unified: Unified, tmp_path: Path) -> None:
    first = write(tmp_path / "desk.json", desk.said(), desk.recorded())
    assert ": 1 record, all as expected" in unified.run("connectors", "test", first).stderr
    unified.ok("workspaces", "add", "acme")
    assert "say --yes" in unified.refused("connectors", "install", first, "--workspace", "acme", code=2)
    installed = unified.run("connectors", "install", first, "--workspace", "acme", "--yes")
    assert "`unified connections add desk NAME --workspace acme`" in installed.stderr
    shown = installed.stdout
    assert "Hosts: api.desk.example" in shown
    assert "Tier: unsigned" in shown
    assert "desk" in {one["name"] for one in unified.json("connectors", "list")}
    with serving(_Desk) as url:
        unified.ok(
            "connections", "add", "desk", "main", "--workspace", "acme", "--secret-stdin",
            "--base-url", url, "--allow-private-hosts", stdin=desk.KEY,
        )  # fmt: skip
        unified.ok("sync", "acme/main")
    rows = "SELECT source_id, name, email FROM unified_customers ORDER BY source_id"
    assert unified.json("query", "--workspace", "acme", rows) == [
        {"source_id": "1", "name": "Ann", "email": None}
    ]
    tickets = "SELECT source_id, name FROM desk_tickets"
    assert unified.json("query", "--workspace", "acme", tickets) == [{"source_id": "t1", "name": "Broken"}]

    assets, names = definitions(unified)
    assert {"desk/customers", "desk/tickets"} <= assets
    assert {"desk_schedule", "desk_sync"} <= names

    further = write(
        tmp_path / "further.json", desk.with_emails(hosts=["api.desk.example", "files.desk.example"])
    )
    assert "host files.desk.example" in unified.refused("connectors", "upgrade", further, code=2)
    unified.ok("connectors", "upgrade", further, "--yes")
    (ann,) = unified.json("query", "--workspace", "acme", rows)
    assert ann["email"] == "ann@example.com"
    assert "acme/main" in unified.refused("connectors", "remove", "desk", "--workspace", "acme", "--yes")
    unified.ok("connections", "remove", "acme/main", "--yes")
    unified.ok("connectors", "remove", "desk", "--workspace", "acme", "--yes")
    assert [one["state"] for one in unified.json("connectors", "show", "desk")] == ["removed", "replaced"]
    assert "desk/customers" not in definitions(unified)[0]


def test_a_database_that_can_not_be_reached_is_named_before_anything_is_looked_at() -> None:
    with (
        KeptConnection("postgresql://nobody@127.0.0.1:1/none") as kept,
        pytest.raises(StoreError, match="reading the"),
    ):
        ReloadedLocations(kept, "http://127.0.0.1:1", None)


def test_dagster_loads_its_definitions_anew_when_documents_change(unified: Unified, tmp_path: Path) -> None:
    document = write(tmp_path / "desk.json", desk.said(id="desk_again"))
    url = embedded.start(unified.home)
    with KeptConnection(url) as kept:
        with serving(_Dagster) as address:
            locations = ReloadedLocations(kept, address, "a-fake-token", every=0)
            locations.follow()
            assert _RELOADS == []
            unified.ok("connectors", "install", document, "--yes")
            execute(
                url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
            for _ in range(3):  # the first finds that the server ended the connection
                locations.follow()
            assert _RELOADS == ["Bearer a-fake-token"]
        unified.ok("connectors", "remove", "desk_again", "--yes")
        locations.follow()  # nobody answers, and it is tried again
        assert len(_RELOADS) == 1


def test_files_that_are_not_there_are_said_in_one_line(unified: Unified, tmp_path: Path) -> None:
    said = unified.refused("connectors", "test", str(tmp_path))
    assert f"there is no connector.yaml in the folder {tmp_path}" in said
    missing = tmp_path / "missing.yaml"
    said = unified.refused("connectors", "sign", str(missing), "--key", str(missing), code=2)
    assert "does not exist" in said


def test_a_document_that_does_not_ask_whose_account_it_is_says_so(unified: Unified, tmp_path: Path) -> None:
    said = {key: value for key, value in desk.said(id="desk_plain").items() if key != "test"}
    unified.ok("connectors", "install", write(tmp_path / "desk.json", said), "--yes")
    with serving(_Desk) as url:
        added = unified.ok(
            "connections", "add", "desk_plain", "main", "--secret-stdin",
            "--base-url", url, "--allow-private-hosts", stdin=desk.KEY,
        )  # fmt: skip
    assert added == "Nothing refuses the credential; the system does not say whose account it opens.\n"
