"""With --log-format json everything on stderr is JSON, with the connection, the request and the workspace."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx

from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer


def test_a_sync_and_the_server_write_json(unified: Unified, sandbox: SandboxServer) -> None:
    unified.ok(
        "connections", "add", "stripe", "main", "--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts",
        UNIFIED_SECRET_API_KEY="sk_test_fake_acme",
    )  # fmt: skip
    done = unified.run("--log-format", "json", "sync", "main")
    assert done.returncode == 0, done.stderr
    synced = {line["stream"]: line for line in lines(done.stderr) if "synced" in line["message"]}
    assert synced["customers"]["connection"] == "default/main"
    assert synced["customers"]["workspace"] == "default"
    assert synced["customers"]["inserted"] == 60
    (refusal,) = lines(unified.run("--log-format", "json", "sync", "nobodys").stderr)
    assert refusal["level"] == "ERROR"
    assert "nobodys" in refusal["message"]
    assert "--log-format" in unified.run("--log-format", "xml", "status").stderr
    assert "'xml' is not one of" in unified.refused("status", code=2, UNIFIED_LOG_FORMAT="xml")

    token = unified.ok(
        "tokens", "add", "--workspace", "default", "--name", "logs", "--role", "viewer"
    ).strip()
    process = subprocess.Popen(
        unified.command("serve", "--port", "0"),
        env=unified.environment(UNIFIED_LOG_FORMAT="json"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    begun = json.loads(process.stderr.readline())
    address = begun["message"].split()[2].rstrip(";")
    headers = {"authorization": f"Bearer {token}", "x-request-id": "req-1"}
    assert httpx.get(f"{address}/api/connectors/configs", headers=headers, timeout=LIMIT_SECONDS).is_success
    process.terminate()
    _, rest = process.communicate(timeout=LIMIT_SECONDS)
    (asked,) = (line for line in lines(rest) if line.get("request") == "req-1")
    assert (asked["workspace"], asked["endpoint"], asked["status"]) == (
        "default",
        "/api/connectors/configs",
        200,
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
