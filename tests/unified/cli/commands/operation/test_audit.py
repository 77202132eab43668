"""`unified audit`: the deployment's log, and those of workspaces that are here or were removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified


def test_what_was_done_is_shown_after_the_workspace_is_gone(unified: Unified) -> None:
    unified.ok("workspaces", "add", "gone")
    unified.ok("members", "add", "gone", "ada@example.com", "--role", "owner")
    assert [one["action"] for one in unified.json("audit", "--workspace", "gone")] == [
        "member.add",
        "workspace.create",
    ]
    unified.ok("workspaces", "remove", "gone", "--yes")
    assert "there is no workspace 'gone'" in unified.refused("audit", "--workspace", "gone")
    unified.ok("token", "create", "--admin", "--name", "prometheus", "--scope", "metrics:read")
    unified.ok("keys", "rotate")

    rotation, token, removed = [
        one
        for one in unified.json("audit")
        if one["action"] in ("keys.rotate", "token.create", "workspace.remove")
    ]
    assert {one["actor"] for one in (rotation, token, removed)} == {"cli"}
    assert removed["detail"] == {"slug": "gone", "connections": 0}
    workspace = removed["subject"].removeprefix("workspace ")
    kept = unified.json("audit", "--workspace", workspace)
    assert [one["action"] for one in kept] == ["workspace.remove", "member.add", "workspace.create"]
    assert "ada" not in str(kept)
    assert "workspace.remove" in unified.ok("audit", "--workspace", workspace, "--limit", "1")
