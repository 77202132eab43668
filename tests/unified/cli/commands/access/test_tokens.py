"""`unified token` and `unified members`: who may use the API, settled on the machine of the installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified


def test_tokens_are_printed_once_and_revoked(unified: Unified) -> None:
    unified.ok("workspaces", "add", "acme")
    token = unified.ok("token", "create", "--workspace", "acme", "--name", "ci", "--role", "viewer").strip()
    assert token.startswith("uat_")
    (listed,) = unified.json("token", "list", "--workspace", "acme")
    assert (listed["name"], listed["created_by"]) == ("ci", "cli")
    assert token.startswith(listed["prefix"])
    assert token not in str(listed)
    unified.ok("token", "revoke", listed["id"], "--workspace", "acme")
    assert unified.json("token", "list", "--workspace", "acme")[0]["revoked_at"]
    scraper = unified.ok("token", "create", "--admin", "--name", "prometheus", "--scope", "metrics:read")
    assert scraper.startswith("uad_")
    assert [one["scopes"] for one in unified.json("token", "list", "--admin")] == [["metrics:read"]]
    for wrong in (
        ("--name", "x"),
        ("--name", "x", "--workspace", "acme"),
        ("--name", "x", "--workspace", "acme", "--scope", "tokens:write"),
        ("--name", "x", "--workspace", "acme", "--admin"),
        ("--name", "x", "--admin", "--role", "owner"),
    ):
        unified.refused("token", "create", *wrong, code=2)


def test_members_come_and_go(unified: Unified) -> None:
    unified.ok("workspaces", "add", "team")
    unified.ok("members", "add", "team", "auth0|1", "--role", "owner")
    unified.ok("members", "add", "team", "auth0|2")
    unified.ok("members", "change", "team", "auth0|2", "--role", "admin")
    listed = unified.json("members", "list", "team")
    assert [(one["subject"], one["role"]) for one in listed] == [("auth0|1", "owner"), ("auth0|2", "admin")]
    assert "only owner" in unified.refused("members", "remove", "team", "auth0|1")
    unified.ok("members", "remove", "team", "auth0|2")
    assert len(unified.json("members", "list", "team")) == 1
