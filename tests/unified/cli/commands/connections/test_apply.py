"""Connections as code by the real command: plan, apply, drift, prune, export."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.unified.cli.commands.connections.test_connections import KEY, WRONG_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer

HUBSPOT_KEY = "pat-fake-acme"
VARIABLES = {
    "STRIPE_KEY": KEY,
    "HUBSPOT_KEY": HUBSPOT_KEY,
    "OTHER": "sk_test_fake_other",
    "HOOK": "whsec_test_fake_other",
}
ROUTE_DOCUMENT = {"from": "billing", "to": "crm", "active": False, "fields": [{"source": "email"}]}
BILLING = ("connections", "billing")
CONNECTION, WEBHOOK = ("connection", "billing"), ("webhook", "billing")
RULES, ROUTE = ("rules", "billing"), ("route", "to-crm")
Drift = tuple[tuple[str | int, ...], Any, tuple[str, str], str]
"""What in the file becomes what, in which step that is mended, and what is said of it."""


@pytest.fixture(scope="module")
def whole(sandbox: SandboxServer) -> dict[str, Any]:
    """A file that has something of everything."""
    return {
        "workspace": "acme",
        "connections": {
            "billing": {
                "connector": "stripe",
                "settings": {"base_url": f"{sandbox.url}/stripe", "allow_private_hosts": True},
                "interval_minutes": 30,
                "secrets": {"api_key": "env:STRIPE_KEY"},
                "webhooks": [
                    {"events": ["customer.*"], "secret": "file:hook.txt"},
                    {"verifier": "hmac", "options": {"header": "x-signature"}},
                ],
                "rules": {"customers": [{"target": "tax_number", "source": "metadata.vat"}]},
            },
            "crm": {
                "connector": "hubspot",
                "settings": {"base_url": f"{sandbox.url}/hubspot", "allow_private_hosts": True},
                "secrets": {"access_token": "env:HUBSPOT_KEY"},
                "active": False,
            },
        },
        "routes": {"to-crm": ROUTE_DOCUMENT},
    }


@pytest.fixture
def file(tmp_path: Path, whole: dict[str, Any]) -> Path:
    (tmp_path / "hook.txt").write_text("whsec_test_fake_file\n")
    path = tmp_path / "acme.yaml"
    path.write_text(yaml.safe_dump(whole))
    return path


@pytest.fixture
def applied(unified: Unified, file: Path) -> Path:
    """The file, once the workspace is as it says and has nothing else."""
    unified.ok("apply", str(file), "--prune", "--yes", **VARIABLES)
    return file


def steps(unified: Unified, file: Path) -> Any:
    return yaml.safe_load(unified.ok("apply", str(file), "--plan", "--json", **VARIABLES))


def planned(unified: Unified, file: Path) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["name"], one["action"]) for one in steps(unified, file)]


def is_step(one: Any, step: tuple[str, str], action: str) -> bool:
    return ((one["kind"], one["name"]), one["action"]) == (step, action)


def change(file: Path, *path: str | int, to: Any) -> None:
    document = yaml.safe_load(file.read_text())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    if to is None:
        del place[path[-1]]
    file.write_text(yaml.safe_dump(document))


def test_a_file_is_planned_applied_and_then_there_is_nothing_to_do(unified: Unified, file: Path) -> None:
    assert planned(unified, file) == [
        ("workspace", "acme", "add"),
        ("connection", "billing", "add"),
        ("webhook", "billing", "add"),
        ("webhook", "billing", "add"),
        ("rules", "billing", "add"),
        ("connection", "crm", "add"),
        ("route", "to-crm", "add"),
    ]
    assert "acme" not in {one["workspace"] for one in unified.json("workspaces", "list")}, (
        "a plan changes nothing"
    )

    shown = unified.ok("apply", str(file), "--public-url", "https://hooks.example.com", **VARIABLES)
    assert "https://hooks.example.com/webhooks/stripe/" in shown
    assert "enter this secret there as well" in shown
    assert KEY not in shown
    listed = {one["name"]: one for one in unified.json("connections", "list")}
    assert (listed["acme/billing"]["interval_minutes"], listed["acme/crm"]["is_active"]) == (30, False)
    assert [one["events"] for one in unified.json("webhooks", "list")] == [["customer.*"], []]
    assert unified.json("mappings", "list", "acme/billing")[0]["target_field"] == "tax_number"
    (route,) = unified.json("routes", "list")
    assert (route["route"], route["is_active"], route["settings"]["fields"][0]["source"]) == (
        "acme/to-crm",
        False,
        "email",
    )

    before = unified.json("connections", "list")
    assert {action for _, _, action in planned(unified, file)} == {"same"}
    unified.ok("apply", str(file), **VARIABLES)
    assert unified.json("connections", "list") == before, "no secret was stored anew"


@pytest.mark.parametrize(
    "drifts",
    [
        pytest.param(
            [
                (
                    (*BILLING, "columns"),
                    {"invoices": {"number": "omit"}},
                    CONNECTION,
                    "invoices.number: stored -> omit",
                ),
                ((*BILLING, "history"), ["invoices"], CONNECTION, "keeps the history of invoices"),
                ((*BILLING, "since"), {"invoices": "2025-01-31"}, CONNECTION, "invoices since 2025-01-31"),
                ((*BILLING, "interval_minutes"), 45, CONNECTION, "30 min -> 45"),
                ((*BILLING, "settings", "timeout"), 7.5, CONNECTION, "timeout: not set"),
                ((*BILLING, "active"), False, CONNECTION, "pause it"),
                ((*BILLING, "secrets", "api_key"), "env:OTHER", CONNECTION, "api_key is another one"),
            ],
            id="a connection",
        ),
        pytest.param(
            [
                ((*BILLING, "streams"), ["customers", "events"], CONNECTION, "reads invoices no longer"),
                ((*BILLING, "webhooks", 0, "events"), [], WEBHOOK, "customer.* -> all"),
                ((*BILLING, "webhooks", 0, "active"), False, WEBHOOK, "pause it"),
                ((*BILLING, "webhooks", 0, "secret"), "env:HOOK", WEBHOOK, "another one"),
                ((*BILLING, "rules", "customers", 0, "source"), "metadata.tax", RULES, "filled otherwise"),
                (("routes", "to-crm", "conflict_policy"), "newest_wins", ROUTE, "-> newest_wins"),
                (("routes", "to-crm", "active"), True, ROUTE, "resume it"),
            ],
            id="what belongs to one",
        ),
    ],
)
def test_drift_is_shown_and_mended(unified: Unified, applied: Path, drifts: list[Drift]) -> None:
    for path, to, _, _ in drifts:
        change(applied, *path, to=to)
    found = steps(unified, applied)
    for _, _, step, says in drifts:
        assert says in str([one for one in found if is_step(one, step, "change")])
    touched = {step for _, _, step, _ in drifts}
    assert {(one["kind"], one["name"]) for one in found if one["action"] != "same"} == touched
    unified.ok("apply", str(applied), "--no-test", **VARIABLES)
    assert {one["action"] for one in steps(unified, applied)} == {"same"}


def test_what_the_file_no_longer_has_stays_until_it_is_pruned(unified: Unified, applied: Path) -> None:
    for path, to in (((*BILLING, "webhooks"), []), ((*BILLING, "rules"), None), (("routes",), {})):
        change(applied, *path, to=to)
    found = steps(unified, applied)
    for step, says in ((WEBHOOK, "hmac"), (RULES, "fills tax_number"), (ROUTE, "from billing to crm")):
        assert says in str([one for one in found if is_step(one, step, "extra")])
    done = unified.run("apply", str(applied), "--no-test", **VARIABLES)
    assert done.returncode == 0, done.stderr
    assert "--prune removes them" in done.stderr
    assert {one["action"] for one in steps(unified, applied)} == {"same", "extra"}
    assert "say --yes" in unified.refused("apply", str(applied), "--prune", code=2, **VARIABLES)
    unified.ok("apply", str(applied), "--prune", "--yes", **VARIABLES)
    assert {one["action"] for one in steps(unified, applied)} == {"same"}


def test_a_setting_that_is_not_in_the_file_stays_until_it_is_pruned(unified: Unified, applied: Path) -> None:
    unified.ok("connections", "update", "acme/billing", "--set", "timeout=9", "--no-test")
    assert (*CONNECTION, "extra") in planned(unified, applied)
    unified.ok("apply", str(applied), **VARIABLES)
    assert unified.json("connections", "show", "acme/billing")["settings"]["timeout"] == 9
    unified.ok("apply", str(applied), "--prune", "--yes", **VARIABLES)
    assert "timeout" not in unified.json("connections", "show", "acme/billing")["settings"]


def test_a_connection_that_is_not_in_the_file_stays_until_it_is_pruned(
    unified: Unified, applied: Path, whole: dict[str, Any]
) -> None:
    change(applied, "routes", to={})
    change(applied, "connections", "crm", to=None)
    unified.ok("apply", str(applied), **VARIABLES)
    assert "acme/crm" in {one["name"] for one in unified.json("connections", "list")}
    assert planned(unified, applied)[-2:] == [("route", "to-crm", "extra"), ("connection", "crm", "extra")]
    unified.ok("apply", str(applied), "--prune", "--yes", **VARIABLES)
    assert "acme/crm" not in {one["name"] for one in unified.json("connections", "list")}
    assert unified.json("routes", "list") == []


def test_one_that_fails_leaves_the_others_alone(unified: Unified, applied: Path) -> None:
    document = yaml.safe_load(applied.read_text())
    bad = {**document["connections"]["billing"], "secrets": {"api_key": "env:BAD"}}
    del bad["webhooks"], bad["rules"]
    document["connections"]["bad"] = deepcopy(bad)
    document["connections"]["lost"] = deepcopy({**bad, "secrets": {"api_key": "env:NOT_SET"}})
    document["connections"]["billing"]["interval_minutes"] = 77
    document["connections"]["billing"]["webhooks"].append(
        {"verifier": "hmac", "options": {"header": "x-other"}}
    )
    document["routes"]["nowhere"] = {"from": "billing", "to": "elsewhere"}
    document["routes"]["forlorn"] = {"from": "billing", "to": "lost"}
    applied.write_text(yaml.safe_dump(document))
    done = unified.run("apply", str(applied), BAD=WRONG_KEY, **VARIABLES)
    assert done.returncode == 1
    assert "acme.yaml:" in done.stderr
    assert "connection bad: nothing was stored: " in done.stderr
    assert "connection lost: env:NOT_SET: the environment has no NOT_SET" in done.stderr
    assert "there is no connection 'elsewhere'" in done.stderr
    assert "route forlorn: the connection 'lost' is refused" in done.stderr
    assert "Providers need an https:// URL" in done.stderr
    assert "Canary7" not in done.stderr + done.stdout
    listed = {one["name"]: one for one in unified.json("connections", "list")}
    assert listed["acme/billing"]["interval_minutes"] == 77
    assert "acme/bad" not in listed
    assert "acme/lost" not in listed


def test_a_secret_may_stay_where_it_is(unified: Unified, applied: Path, sandbox: SandboxServer) -> None:
    variables = {**VARIABLES, "ACME_KEY": KEY, "UNIFIED_SECRET_REFERENCES": "env:ACME_"}
    to_sandbox = ("--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts")
    arguments = ("connections", "add", "stripe", "kept", "--workspace", "acme", *to_sandbox)
    refused = unified.refused(*arguments, "--secret-from", "api_key=env:HOME", **variables)
    assert "this deployment lets no secret be read there; UNIFIED_SECRET_REFERENCES says where" in refused
    refused = unified.refused(*arguments, "--secret-from", KEY, code=2, **variables)
    assert KEY not in refused
    unified.ok(*arguments, "--secret-from", "api_key=env:ACME_KEY", **variables)
    shown = unified.json("connections", "show", "acme/kept")
    assert shown["secrets"][0]["reference"] == "env:ACME_KEY"
    assert "api_key at env:ACME_KEY" in unified.ok("connections", "list")
    text = unified.ok("apply", "--export", "--workspace", "acme")
    document = yaml.safe_load(text)
    assert document["connections"]["kept"]["references"] == {"api_key": "env:ACME_KEY"}
    assert "secrets" not in document["connections"]["kept"]
    change(applied, "connections", "kept", to=document["connections"]["kept"])
    shown = yaml.safe_load(unified.ok("apply", str(applied), "--plan", "--json", **variables))
    assert [one["action"] for one in shown if one["name"] == "kept"] == ["same"]
    unified.ok("sync", "acme/kept", "--stream", "customers", **variables)
    lost = unified.run("sync", "acme/kept", "--stream", "customers", **{**variables, "ACME_KEY": ""})
    assert "env:ACME_KEY: the environment has no ACME_KEY" in lost.stderr


def test_what_was_exported_says_what_is_there_and_no_secret(
    unified: Unified, applied: Path, tmp_path: Path
) -> None:
    text = unified.ok("apply", "--export", "--workspace", "acme")
    assert KEY not in text
    assert "whsec_test_fake_file" not in text
    exported = tmp_path / "exported.yaml"
    exported.write_text(text)
    document = yaml.safe_load(text)
    assert document["connections"]["billing"]["secrets"] == {"api_key": "env:UNIFIED_SECRET_BILLING_API_KEY"}
    assert document["routes"]["to-crm"] == ROUTE_DOCUMENT
    for connection in document["connections"].values():
        for webhook in connection.get("webhooks", []):
            del webhook["secret"]  # one of them was made here, and nobody kept it
    exported.write_text(yaml.safe_dump(document))
    variables = {"UNIFIED_SECRET_BILLING_API_KEY": KEY, "UNIFIED_SECRET_CRM_ACCESS_TOKEN": HUBSPOT_KEY}
    shown = unified.ok("apply", str(exported), "--plan", "--json", **variables)
    assert {one["action"] for one in yaml.safe_load(shown)} == {"same"}, shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say which FILE to apply, or --export"),
        (("FILE", "--export"), "say which FILE to apply, or --export"),
        (("--export", "--prune"), "go with a FILE"),
        (("FILE", "--workspace", "acme"), "a FILE names its workspace itself"),
    ],
)
def test_what_does_not_go_together_is_refused(
    unified: Unified, file: Path, arguments: tuple[str, ...], says: str
) -> None:
    given = (str(file) if one == "FILE" else one for one in arguments)
    assert says in unified.refused("apply", *given, code=2)


def test_a_file_that_is_not_there_is_one_line(unified: Unified, tmp_path: Path) -> None:
    assert "does not exist" in unified.refused("apply", str(tmp_path / "none.yaml"), code=2)
