"""Looking at what there is: one connection, its syncs, the tables, the logs; and syncing all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unified.cli.commands.connections.test_connections import KEY, to_sandbox
from unified.sandbox.faults import Fault

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer


@pytest.fixture(scope="module", autouse=True)
def connections(unified: Unified, sandbox: SandboxServer) -> None:
    """Two connections of one workspace and one of another; the first two are synced."""
    unified.ok("workspaces", "add", "acme")
    unified.ok("workspaces", "add", "globex")
    for workspace, name in (("acme", "one"), ("acme", "two"), ("globex", "other")):
        place = ("--workspace", workspace, *to_sandbox(sandbox, "stripe"))
        unified.ok("connections", "add", "stripe", name, *place, UNIFIED_SECRET_API_KEY=KEY)
    unified.ok("sync", "--all", "--workspace", "acme")


def test_all_connections_of_a_workspace_are_synced_and_no_other(unified: Unified) -> None:
    synced = {one["connection"]: one["last_sync_at"] is not None for one in unified.json("status")}
    assert synced == {"acme/one": True, "acme/two": True, "globex/other": False}


def test_one_that_fails_or_is_paused_does_not_keep_the_others(
    unified: Unified, sandbox: SandboxServer
) -> None:
    unified.ok("connections", "pause", "acme/two")
    fault = Fault("status", "/v1/customers", times=1, status=400)
    sandbox.stripe.faults.add(fault)
    try:
        done = unified.run("sync", "--all", "--full", "--json")
    finally:
        sandbox.stripe.faults.clear()
        unified.ok("connections", "resume", "acme/two")
    assert done.returncode == 1
    assert "acme/two: left out, as it is paused" in done.stderr
    assert "acme/one: customers: " in done.stderr
    assert "1 connection(s) could not be synced: acme/one" in done.stderr
    assert '"connection": "globex/other"' in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say which connection to sync, or --all"),
        (("one", "--all"), "say which connection to sync, or --all"),
        (("--all", "--bury"), "go with one connection"),
        (("one", "--workspace", "acme"), "goes with --all"),
    ],
)
def test_what_does_not_go_together_is_refused(
    unified: Unified, arguments: tuple[str, ...], says: str
) -> None:
    assert says in unified.refused("sync", *arguments, code=2)


def test_a_connection_is_shown_with_its_streams_and_without_its_secret(unified: Unified) -> None:
    shown = unified.json("connections", "show", "acme/one")
    assert shown["connector"] == "stripe"
    assert shown["account"].startswith("acct_")
    assert shown["streams"]["customers"]["rows"] == 60
    assert shown["streams"]["customers"]["last_sync"]["mode"] in ("full", "incremental")
    assert [one["field"] for one in shown["secrets"]] == ["api_key"]
    text = unified.ok("connections", "show", "acme/one")
    assert "customers" in text
    assert KEY not in text + str(shown)
    never = unified.json("connections", "show", "acme/two")
    assert never["streams"]["customers"]["last_sync"]["outcome"] == "done"


def test_a_wait_for_the_provider_is_shown_with_its_end(unified: Unified, sandbox: SandboxServer) -> None:
    sandbox.stripe.faults.add(Fault("status", times=None, status=429, retry_after="10800"))
    try:
        assert "429" in unified.refused("sync", "acme/one")
    finally:
        sandbox.stripe.faults.clear()
    (state,) = (one for one in unified.json("status") if one["connection"] == "acme/one")
    shown = unified.json("connections", "show", "acme/one")
    assert shown["waits_until"] == state["waits_until"] > shown["last_sync_at"]
    assert "its provider asked to be left alone until " in " ".join(unified.ok("status").split())
    unified.ok("sync", "acme/one")  # a person does not wait
    assert unified.json("connections", "show", "acme/one")["waits_until"] is None


def test_the_history_is_the_newest_first(unified: Unified) -> None:
    unified.ok("sync", "acme/two", "--stream", "customers")
    found = unified.json("connections", "history", "acme/two")
    assert len(found) == 4
    assert [one["started_at"] for one in found] == sorted((one["started_at"] for one in found), reverse=True)
    assert found[0]["stream"] == "customers"
    only = unified.json("connections", "history", "acme/two", "--stream", "invoices")
    assert {one["stream"] for one in only} == {"invoices"}
    assert len(unified.json("connections", "history", "acme/two", "--limit", "1")) == 1
    assert "no stream 'invoicez'" in unified.refused(
        "connections", "history", "acme/two", "--stream", "invoicez"
    )


def test_the_tables_are_counted_by_workspace_and_stream(unified: Unified) -> None:
    found = [
        one for one in unified.json("tables", "--workspace", "acme") if one["table"] == "unified_customers"
    ]
    (customers,) = found
    assert (customers["connector"], customers["stream"]) == ("stripe", "customers")
    assert customers["live"] == 120, "of both connections"
    assert customers["bytes"] > 0
    assert customers["synced_at"]
    assert "unified_invoices" in unified.ok("tables")
    unified.ok("workspaces", "add", "empty")
    assert "Nothing is stored yet" in unified.ok("tables", "--workspace", "empty")


def test_a_question_without_a_workspace_names_those_there_are(unified: Unified) -> None:
    line = unified.refused("query", "SELECT 1", code=2)
    assert "say which with --workspace, acme, " in line


def test_the_ends_of_the_logs_are_shown(unified: Unified) -> None:
    folder = unified.home / "logs"
    assert "there are no logs" in unified.refused("logs")
    folder.mkdir()
    try:
        (folder / "dagster.log").write_text("".join(f"line {number}\n" for number in range(100)))
        (folder / "webhooks.log").write_text("started\n")
        shown = unified.ok("logs", "--lines", "2")
        assert "line 98\nline 99\n" in shown
        assert "line 97" not in shown
        assert f"==> webhooks: {folder / 'webhooks.log'}\nstarted\n" in shown
        assert unified.ok("logs", "webhooks") == "started\n"
        assert "there are dagster, webhooks" in unified.refused("logs", "nothing", code=2)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
