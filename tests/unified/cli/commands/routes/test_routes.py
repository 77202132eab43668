"""`unified routes`: from the first preview to a decision, with the real command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unified.cli.commands.routes.rules import condition_of, rule_of
from unified.cli.session import UsageError
from unified.schema.conditions import Condition
from unified.store.routes.settings import RouteField

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer


def test_a_route_is_added_previewed_run_and_removed(unified: Unified, sandbox: SandboxServer) -> None:
    for connector, name, variable, secret in (
        ("stripe", "billing", "UNIFIED_SECRET_API_KEY", "sk_test_fake_acme"),
        ("hubspot", "crm", "UNIFIED_SECRET_ACCESS_TOKEN", "pat-fake-acme"),
    ):
        where = ("--base-url", f"{sandbox.url}/{connector}", "--allow-private-hosts")
        unified.ok("connections", "add", connector, name, *where, **{variable: secret})
        unified.ok("sync", name, "--stream", "customers")

    assert "itself" in unified.refused("routes", "add", "r", "--from", "billing", "--to", "billing")
    added = unified.run("routes", "add", "r", "--from", "billing", "--to", "crm", "--match", "phone")
    assert "Added default/r: billing -> crm." in added.stderr
    back = unified.refused("routes", "add", "back", "--from", "crm", "--to", "billing")
    assert "billing -> crm (r)" in back

    shown = unified.json("routes", "preview", "r", "--limit", "5")
    assert len(shown) == 5
    assert {one["operation"] for one in shown} <= {"create", "update", "link", "review"}
    assert "WOULD BE" in unified.ok("routes", "preview", "r", "--limit", "2")
    result = unified.json("routes", "run", "r")
    assert result["is_complete"]
    assert result["created"] > 0
    (route,) = unified.json("routes", "list")
    assert (route["status"], route["records"]["linked"]) == (
        "success",
        result["created"] + result["updated"] + result["unchanged"],
    )
    assert (
        unified.json("routes", "preview", "r") == [one for one in shown if one["operation"] == "review"][:0]
    )

    waiting = unified.json("routes", "review", "r")
    assert len(waiting) == result["waiting"] + result["refused"]
    assert "RECORD" in unified.refused("routes", "review", "r", "--skip", code=2)
    assert "nothing of default/r waits" in unified.refused("routes", "review", "r", "cus_none", "--skip")
    if waiting:
        unified.ok("routes", "review", "r", waiting[0]["record_id"], "--skip")
        assert unified.json("routes", "review", "r")[0]["state"] == "skipped"
    unified.ok("routes", "pause", "r")
    assert not unified.json("routes", "list")[0]["is_active"]
    unified.ok("routes", "remove", "r", "--yes")
    assert unified.json("routes", "list") == []


def test_rules_and_conditions_are_read_as_they_are_written() -> None:
    assert rule_of("email") == RouteField("email", "email")
    assert rule_of("description=custom_fields.jobtitle:target-wins") == RouteField(
        "description", "custom_fields.jobtitle", "target_wins"
    )
    assert condition_of("custom_fields.tier in gold, silver") == Condition(
        "custom_fields.tier", "in", ["gold", "silver"]
    )
    assert condition_of("livemode is true") == Condition("livemode", "is", True)  # noqa: FBT003
    assert condition_of("phone is_set") == Condition("phone", "is_set")
    for wrong in ("email", "email like x", ""):
        with pytest.raises(UsageError, match="--where is FIELD OPERATOR"):
            condition_of(wrong)
    with pytest.raises(UsageError, match="--field is FIELD"):
        rule_of("email:loudest-wins")
