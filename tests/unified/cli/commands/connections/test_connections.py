"""Connections by the command line: from the first key to the last row, with no secret out of place."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.unified.cli.conftest import Unified
from tests.waiting import LIMIT_SECONDS
from unified.cli.session import open_session
from unified.sandbox.faults import Fault
from unified.store.workspaces import workspaces

if TYPE_CHECKING:
    from pathlib import Path

    from unified.sandbox.server import SandboxServer

KEY = "sk_test_fake_acme"
WRONG_KEY = "sk_test_fake_Canary7Wrong"


def to_sandbox(sandbox: SandboxServer, connector: str) -> list[str]:
    return ["--base-url", f"{sandbox.url}/{connector}", "--allow-private-hosts"]


@pytest.fixture(scope="module")
def stripe(unified: Unified, sandbox: SandboxServer) -> str:
    shown = unified.ok(
        "connections",
        "add",
        "stripe",
        "main",
        *to_sandbox(sandbox, "stripe"),
        "--secret-stdin",
        stdin=f"{KEY}\n",
    )
    assert "test account acct_" in shown
    return "default/main"


def test_without_an_installation_the_lists_say_what_to_do(tmp_path: Path) -> None:
    assert "`unified connections add` begins one there" in Unified(tmp_path).refused("status")


def test_of_two_secrets_by_stdin_the_missing_one_is_asked_for_by_its_line(
    unified: Unified, stripe: str
) -> None:
    del stripe  # its home has a master key by now
    arguments = ("connections", "add", "jira", "support", "--set", "site=acme", "--secret-stdin")
    line = unified.refused(*arguments, stdin="email=ada@acme.example\n", code=2)
    assert "give standard input a line api_token=…" in line
    assert "E-mail" not in line


def test_an_added_connection_is_listed_without_its_secret(unified: Unified, stripe: str) -> None:
    (listed,) = [each for each in unified.json("connections", "list") if each["name"] == stripe]
    assert listed["connector"] == "stripe"
    assert listed["interval_minutes"] == 60
    assert listed["secrets"][0]["field"] == "api_key"
    assert KEY not in unified.ok("connections", "list") + str(listed)


def test_a_wrong_key_is_one_line_that_names_the_connection_and_stores_nothing(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    arguments = ("connections", "add", "stripe", "bad", *to_sandbox(sandbox, "stripe"))
    line = unified.refused(*arguments, UNIFIED_SECRET_API_KEY=WRONG_KEY)
    assert "default/bad" in line
    assert "Canary7" not in line
    assert [each["name"] for each in unified.json("connections", "list")] == [stripe]


def test_a_private_host_is_refused_unless_opted_into(unified: Unified, sandbox: SandboxServer) -> None:
    arguments = (
        "connections",
        "add",
        "stripe",
        "near",
        "--base-url",
        f"{sandbox.url}/stripe",
        "--secret-stdin",
    )
    assert "allow_private_hosts" in unified.refused(*arguments, stdin=KEY, code=2)


def test_streams_are_chosen_by_name(unified: Unified, sandbox: SandboxServer) -> None:
    place = (*to_sandbox(sandbox, "stripe"), "--secret-stdin")
    unified.ok("connections", "add", "stripe", "some", *place, "--streams", "events, customers", stdin=KEY)
    assert unified.json("connections", "show", "default/some")["reads"] == ["customers", "events"]
    unified.ok("connections", "update", "default/some", "--streams", "usual", "--no-test")
    assert "customers, invoices, events" in unified.ok("connections", "show", "default/some")
    for wrong, code in (("deals", 1), (" ,", 2)):
        line = unified.refused("connections", "update", "default/some", "--streams", wrong, code=code)
        assert "customers" in line or "--streams takes names" in line
    unified.ok("connections", "remove", "default/some", "--yes")


def test_columns_and_what_is_older_are_left_out(unified: Unified, sandbox: SandboxServer) -> None:
    place = (*to_sandbox(sandbox, "stripe"), "--secret-stdin", "--no-test")
    unified.ok("connections", "add", "stripe", "less", *place, "--columns", "customers.email=hash", stdin=KEY)
    assert unified.json("connections", "show", "default/less")["columns"] == {"customers": {"email": "hash"}}
    change = ("connections", "update", "default/less", "--no-test", "--columns")
    assert (
        "reads all customers anew" in unified.run(*change, "customers.phone=omit, customers.name=hash").stderr
    )
    assert "customers.name=hash, customers.phone=omit" in unified.ok("connections", "show", "default/less")
    for wrong, code, says in (
        ("email=hash", 2, "--columns takes STREAM.FIELD=omit"),
        ("customers.id=omit", 1, "customers.id has to stay"),
        ("customers.email=drop", 1, "omit or hash, not 'drop'"),
    ):
        assert says in unified.refused(*change, wrong, code=code)
    unified.ok(*change, "none", "--since", "invoices=2025-01-31", "--history", "invoices, customers")
    shown = unified.json("connections", "show", "default/less")
    assert (shown["columns"], shown["since"]) == ({}, {"invoices": "2025-01-31"})
    assert shown["history"] == ["customers", "invoices"]
    started = unified.run(
        "connections", "update", "default/less", "--no-test", "--since", "2024-01-31"
    ).stderr
    assert "reads invoices anew" in started
    assert "can't be asked for events by the day" in started
    unified.ok("connections", "remove", "default/less", "--yes")


def test_a_missing_secret_says_how_to_give_it(unified: Unified, sandbox: SandboxServer) -> None:
    arguments = ("connections", "add", "hubspot", "crm", *to_sandbox(sandbox, "hubspot"))
    line = unified.refused(*arguments, code=2)
    assert "UNIFIED_SECRET_ACCESS_TOKEN" in line
    assert "--secret-stdin" in line


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("stripe", "Bad Name"), "is not valid: use 1 to 63 lower-case letters", 1),
        (("stripe", "taken"), "there is a connection 'taken' already", 1),
        (("chargebee", "other"), "base_url: it is needed (`unified connectors` lists them)", 2),
        (("stripe", "other", "--set", "typo=1"), "typo: there is no such setting", 2),
        (("stripe", "other", "--set", "base_ulr=1"), "no such setting; did you mean base_url?", 2),
        (("stripe", "other", "--streams", "custmers"), "; did you mean customers?", 1),
        (("stripe", "other", "--since", "invoces=2025-01-31"), "; did you mean invoices?", 1),
        (("stripe", "other", "--columns", "customer.email=omit"), "; did you mean customers?", 1),
        (
            ("stripe", "other", "--base-url", "https://api.stripe.example"),
            "base_url: leads to api.stripe.example, which is not one of this system's hosts (stripe.com)",
            2,
        ),
        (("hubspot", "other", "--base-url", "http://api.hubapi.com"), "base_url: must be https", 2),
        (
            ("hubspot", "other", "--base-url", "api.hubapi.com"),
            "base_url: must look like https://host/path",
            2,
        ),
    ],
)
def test_what_is_mistyped_is_refused_before_a_secret_is_asked_for(
    unified: Unified, stripe: str, arguments: tuple[str, ...], says: str, code: int
) -> None:
    name = stripe.partition("/")[2]
    line = unified.refused(
        "connections", "add", *(name if one == "taken" else one for one in arguments), code=code
    )
    assert says.replace("taken", name) in line
    assert [each["name"] for each in unified.json("connections", "list")] == [stripe]


def test_connectors_show_what_a_setting_is_without_a_default(unified: Unified) -> None:
    shown = unified.ok("connectors")
    assert "Pydantic" not in shown
    (xero,) = (line for line in shown.splitlines() if line.startswith("|xero"))
    assert "by OAuth" in xero  # which has no secret to name
    settings = {
        one["name"]: {each["name"]: each for each in one["settings"]} for one in unified.json("connectors")
    }
    needed = settings["chargebee"]["base_url"]
    assert (needed["default"], needed["description"][:7]) == (None, "Needed.")
    assert settings["hubspot"]["properties"]["default"] is None
    assert settings["hubspot"]["search_lag"]["default"] == "30.0"


def test_a_list_that_is_given_as_a_word_is_refused_with_its_form(
    unified: Unified, sandbox: SandboxServer
) -> None:
    line = unified.refused(
        "connections",
        "add",
        "hubspot",
        "crm",
        *to_sandbox(sandbox, "hubspot"),
        "--set",
        "properties=tier",
        code=2,
    )
    assert 'properties: it takes a list in JSON, such as ["one", "two"]' in line


def test_settings_are_checked_by_the_adapter(unified: Unified, stripe: str) -> None:
    assert "timeout" in unified.refused("connections", "update", stripe, "--set", "timeout=-1", code=2)
    assert "KEY=VALUE" in unified.refused("connections", "update", stripe, "--set", "timeout", code=2)


def test_a_workspace_other_than_the_default_is_made_first(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    options = ["--workspace", "globex", *to_sandbox(sandbox, "stripe"), "--secret-stdin"]
    arguments = ("connections", "add", "stripe", "main", *options)
    assert "unified workspaces add globex" in unified.refused(*arguments, stdin="sk_test_fake_globex")
    unified.ok("workspaces", "add", "globex")
    assert (
        "may be shown nothing" in unified.run("workspaces", "set", "globex", "--model-sees", "nothing").stderr
    )
    unified.ok(*arguments, stdin="sk_test_fake_globex")
    assert "default/main or globex/main" in unified.refused("connections", "test", "main", code=2)
    assert [each["connection"] for each in unified.json("status", "--workspace", "globex")] == ["globex/main"]
    unified.refused("workspaces", "remove", "globex", code=2)
    unified.ok("workspaces", "remove", "globex", "--yes")
    assert "test account acct_" in unified.ok("connections", "test", "main")


def test_where_connections_wait_for_approval_a_credential_is_stored_untried(
    unified: Unified, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIFIED_HOME", str(unified.home))

    async def make() -> None:
        async with open_session() as session:
            await workspaces.create(session.db, "careful", requires_approval=True)

    asyncio.run(make())
    options = ["--workspace", "careful", *to_sandbox(sandbox, "stripe"), "--secret-stdin"]
    asked = sandbox.stripe.stats.requests.total()
    added = unified.run("connections", "add", "stripe", "main", *options, stdin=WRONG_KEY)
    assert (added.returncode, added.stdout) == (0, "")
    assert "once an admin of careful has approved it" in added.stderr
    unified.ok("connections", "update", "careful/main", "--secret-stdin", stdin=WRONG_KEY)
    assert "waits for approval" in unified.refused("connections", "test", "careful/main")
    assert sandbox.stripe.stats.requests.total() == asked
    unified.ok("workspaces", "remove", "careful", "--yes")


def test_sync_stores_what_the_source_has_and_status_shows_it(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    source = sandbox.stripe.account(KEY).source_counts()
    results = {each["stream"]: each for each in unified.json("sync", stripe)}
    assert results["invoices"]["inserted"] == source["invoices"]
    (status,) = unified.json("status")
    assert status["state"] == "success"
    assert status["rows"] == {name: source[name] for name in ("customers", "invoices", "events")}
    assert all(each["inserted"] == 0 for each in unified.json("sync", stripe))
    assert all(each["mode"] == "full" for each in unified.json("sync", stripe, "--full"))
    assert f" {sum(status['rows'].values()):,} " in unified.ok("status")


def test_a_broken_record_is_listed_among_the_rejects(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    sandbox.stripe.faults.add(
        Fault("bad_record", path="/v1/customers", times=None, replace={"object": "card"})
    )
    try:
        unified.ok("sync", stripe, "--full", "--stream", "customers")
    finally:
        sandbox.stripe.faults.clear()
    rejects = unified.json("rejects", stripe)
    assert rejects
    assert all(each["error"] and "raw" not in each for each in rejects)
    assert '"card"' in unified.json("rejects", stripe, "--raw", "--limit", "1")[0]["raw"]
    unified.ok("sync", stripe, "--full", "--stream", "customers")
    assert "no rejects" in unified.ok("rejects", stripe)


def test_a_revoked_key_is_an_error_in_the_status_and_a_new_one_mends_it(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    sandbox.stripe.revoke(KEY)
    try:
        line = unified.refused("sync", stripe)
        assert stripe in line
        assert KEY not in line
        assert "2 more of its streams failed" in line
        (status,) = unified.json("status")
        assert status["state"] == "error"
        # Whichever stream failed last.
        assert status["error"].partition(": stripe connection ")[2] in line
        unified.refused("connections", "update", stripe, "--secret-stdin", stdin=KEY)
    finally:
        sandbox.stripe.restore(KEY)
    unified.ok("connections", "update", stripe, "--secret-stdin", "--interval", "5", stdin=KEY)
    unified.ok("sync", stripe)
    (listed,) = unified.json("connections", "list")
    assert (listed["interval_minutes"], listed["secrets"][0]["version"]) == (5, 2)


def test_ctrl_c_ends_a_sync_and_the_next_one_completes_it(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    sandbox.stripe.stats.reset()
    sandbox.stripe.latency_ms = 60_000
    running = subprocess.Popen(
        unified.command("sync", stripe), env=unified.environment(), stderr=subprocess.PIPE
    )
    try:
        while not sandbox.stripe.stats.in_flight:
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
    finally:
        sandbox.stripe.latency_ms = 0
        running.kill()
        running.communicate()
    assert "interrupted" in unified.json("status")[0]["error"]
    unified.ok("sync", stripe)
    assert unified.json("status")[0]["state"] == "success"


def test_a_field_rule_is_applied_to_stored_records_by_remap(unified: Unified, stripe: str) -> None:
    assert "no stream" in unified.refused("mappings", "add", stripe, "deals", "id", "custom_fields.id")
    unified.ok("mappings", "add", stripe, "customers", "balance", "custom_fields.balance")
    (rule,) = unified.json("mappings", "list", stripe)
    assert rule == {"stream": "customers", "source_path": "balance", "target_field": "custom_fields.balance"}
    changed = {each["stream"]: each["updated"] for each in unified.json("remap", stripe)}
    assert changed["customers"] > 0
    assert changed["invoices"] == 0
    unified.ok("mappings", "remove", stripe, "customers", "custom_fields.balance")
    assert "no rules" in unified.ok("mappings", "list", stripe)


def test_a_proposed_rule_is_in_force_once_a_person_accepts_it(
    unified: Unified, sandbox: SandboxServer, stripe: str
) -> None:
    assert "Nothing is proposed" in unified.ok("mappings", "propose", stripe, "customers")
    extra = {"vat_number": "CHE-1", "mobile_phone": "+41 79 1"}
    sandbox.stripe.mutate("create_customer", KEY, name="New", metadata=extra)
    unified.ok("sync", stripe)
    place = (stripe, "customers")
    (rule,) = unified.json("mappings", "propose", *place)
    assert (rule["target_field"], rule["source_path"]) == ("tax_number", "metadata.vat_number")
    assert rule["trial"]["examples"] == [["AAA-9", "AAA-9"]]
    without_key = unified.run(
        "mappings", "propose", *place, "--model", ANTHROPIC_API_KEY="", UNIFIED_MODEL_KEY=""
    )
    assert f"accept {stripe} customers FIELD" in without_key.stderr
    assert "No model has answered: anthropic:claude-sonnet-5-5 has no key" in without_key.stderr
    assert "no rule is proposed that fills 'total'" in unified.refused("mappings", "accept", *place, "total")
    unified.ok("mappings", "decline", *place, "tax_number")
    assert "Declined before: tax_number" in unified.run("mappings", "propose", *place).stderr
    unified.ok("mappings", "set", *place, "metadata.vat_number", "tax_number")
    unified.ok("mappings", "remove", *place, "tax_number")
    unified.ok("mappings", "accept", *place, "tax_number")
    assert unified.json("mappings", "list", stripe)[0]["target_field"] == "tax_number"
    unified.ok("mappings", "remove", *place, "tax_number")


def test_rules_are_tried_and_compared_before_they_are_set(
    unified: Unified, stripe: str, tmp_path: Path
) -> None:
    place = (stripe, "customers", "balance", "custom_fields.balance")
    (rule,) = unified.json("mappings", "try", *place)["rules"]
    assert rule["filled"] > 0
    assert rule["examples"][0] == ["9", "9"]
    found = unified.json("mappings", "diff", *place, "--limit", "10")
    assert (found["changed"], found["trial"]["records"], found["stored"]) == (10, 10, rule["filled"])
    assert list(found["fields"]) == ["custom_fields.balance"]
    shown = unified.ok("mappings", "diff", *place)
    assert "custom_fields.balance" in shown
    assert "no rules" in unified.ok("mappings", "list", stripe), "nothing was set"
    assert "not JSON" in unified.refused("mappings", "set", *place, "--step", "{", code=2)
    assert "steps.0" in unified.refused("mappings", "set", *place, "--step", "nonsense", code=2)
    assert "step 1 (money)" in unified.refused(
        "mappings", "try", *place, "--step", '{"do": "money", "unit": "minor"}'
    )
    rules = tmp_path / "rules.json"
    rules.write_text(
        '[{"target": "tags", "source": "name", "steps": [{"do": "split", "by": " "}], "required": true}]'
    )
    assert "not both" in unified.refused("mappings", "set", *place, "--file", str(rules), code=2)
    unified.ok("mappings", "set", stripe, "customers", "--file", str(rules))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("- target: name\n  sauce: a\n")
    assert f"{wrong}:2: 0.sauce: " in unified.refused(
        "mappings", "set", stripe, "customers", "--file", str(wrong)
    )
    assert unified.json("mappings", "list", stripe) == [
        {
            "stream": "customers",
            "source_path": "name",
            "target_field": "tags",
            "steps": [{"do": "split", "by": " "}],
            "required": True,
        }
    ]
    assert "split" in unified.ok("mappings", "list", stripe)
    unified.ok("mappings", "remove", stripe, "customers", "tags")


def test_a_paused_connection_shows_as_such(unified: Unified, stripe: str) -> None:
    refused = unified.refused("connections", "notify", stripe, "C0123ABCD", "hello")
    assert "stripe has no place for messages" in refused
    unified.ok("connections", "pause", stripe)
    assert unified.json("status")[0]["is_active"] is False
    unified.ok("connections", "resume", stripe)
    assert "every 5 min" in unified.ok("connections", "list")


def test_master_keys_rotate_and_credentials_stay_readable(unified: Unified, stripe: str) -> None:
    (before,) = unified.json("keys", "status")
    unified.ok("keys", "rotate")
    (after,) = unified.json("keys", "status")
    assert after["key_id"] != before["key_id"]
    assert after["data_keys"] == 1
    unified.ok("connections", "test", stripe)
    unified.ok("keys", "retire")
    wrong = unified.ok("keys", "generate").strip()
    line = unified.refused("connections", "test", stripe, UNIFIED_MASTER_KEYS=wrong)
    assert after["key_id"] in line
    assert wrong not in line


def test_a_rotation_on_a_full_disk_says_so_and_changes_nothing(unified: Unified, stripe: str) -> None:
    before, file = unified.json("keys", "status"), unified.home / "master.keys"
    content = file.read_bytes()
    # A limit on files' length: the program is refused every byte that it writes to one.
    full = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *unified.command("keys", "rotate")]
    done = subprocess.run(full, env=unified.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"unified: the master keys in {file} can't be written: File too large")
    assert done.stderr.count("\n") == 1
    assert file.read_bytes() == content
    assert sorted(unified.home.glob(".master.keys*")) == []
    assert unified.json("keys", "status") == before
    unified.ok("connections", "test", stripe)


def test_the_key_is_nowhere_on_disk(unified: Unified, stripe: str) -> None:
    unified.ok("connections", "test", stripe)
    files = [path for path in unified.home.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_remove_asks_and_takes_everything_along(unified: Unified, stripe: str) -> None:
    assert "--yes" in unified.refused("connections", "remove", stripe, code=2)
    unified.ok("connections", "remove", stripe, "--yes")
    assert unified.json("status") == []
    assert stripe in unified.refused("sync", stripe)


def test_ctrl_c_at_the_question_for_a_secret_ends_the_command_at_once(unified: Unified) -> None:
    terminal, its_end = pty.openpty()
    command = unified.command("connections", "add", "stripe", "unasked")
    with subprocess.Popen(
        command,
        env=unified.environment(),
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    ) as process:
        os.close(its_end)
        shown = b""
        while b"secret or restricted API key" not in shown:
            shown += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_SECONDS) == 130
    os.close(terminal)
