"""`unified tokens` and `unified members`: who may use the API, settled on the machine of the installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified


def test_tokens_are_printed_once_and_revoked(unified: Unified) -> None:
    unified.ok("workspaces", "add", "acme")
    token = unified.ok("tokens", "add", "--workspace", "acme", "--name", "ci", "--role", "viewer").strip()
    assert token.startswith("uat_")
    (listed,) = unified.json("tokens", "list", "--workspace", "acme")
    assert (listed["name"], listed["created_by"]) == ("ci", "cli")
    assert token.startswith(listed["prefix"])
    assert token not in str(listed)
    unified.ok("tokens", "revoke", listed["id"], "--workspace", "acme")
    assert unified.json("tokens", "list", "--workspace", "acme")[0]["revoked_at"]
    scraper = unified.ok("tokens", "add", "--admin", "--name", "prometheus", "--scope", "metrics:read")
    assert scraper.startswith("uad_")
    assert [one["scopes"] for one in unified.json("tokens", "list", "--admin")] == [["metrics:read"]]
    for wrong in (
        ("--name", "x"),
        ("--name", "x", "--workspace", "acme"),
        ("--name", "x", "--workspace", "acme", "--scope", "tokens:write"),
        ("--name", "x", "--workspace", "acme", "--admin"),
        ("--name", "x", "--admin", "--role", "owner"),
    ):
        unified.refused("tokens", "add", *wrong, code=2)


def test_members_come_and_go(unified: Unified) -> None:
    unified.ok("workspaces", "add", "team")
    unified.ok("members", "add", "team", "auth0|1", "--role", "owner")
    unified.ok("members", "add", "team", "auth0|2")
    unified.ok("members", "update", "team", "auth0|2", "--role", "admin")
    listed = unified.json("members", "list", "team")
    assert [(one["subject"], one["role"]) for one in listed] == [("auth0|1", "owner"), ("auth0|2", "admin")]
    assert "only owner" in unified.refused("members", "remove", "team", "auth0|1")
    unified.ok("members", "remove", "team", "auth0|2")
    assert len(unified.json("members", "list", "team")) == 1


def test_former_names_still_work_and_are_not_in_the_help(unified: Unified) -> None:
    unified.ok("workspaces", "add", "former")
    assert unified.ok("token", "create", "--workspace", "former", "--name", "x", "--role", "viewer")
    unified.ok("members", "add", "former", "somebody", "--role", "viewer")
    unified.ok("members", "change", "former", "somebody", "--role", "member")
    assert "  token " not in unified.ok("--help")
    assert "create" not in unified.ok("tokens", "--help")
    assert "change" not in unified.ok("members", "--help")
