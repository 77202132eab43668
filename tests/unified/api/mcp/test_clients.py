"""Official clients in processes of their own: Python's on stdin and stdout, npm's there and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.unified.api.management.rig import MASTER_KEY
from tests.unified.api.mcp.conftest import ALL
from unified.api.mcp.desk import TOOLS
from unified.store.workspaces import tokens

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unified.api.management.records.shelf import Shelf

pytestmark = [pytest.mark.long(80), pytest.mark.asyncio(loop_scope="module")]

# Each tool, and what it is called with; a refusal in words is an answer too.
CALLS = {
    "unified_list_connectors": {},
    "unified_connections": {},
    "unified_status": {},
    "unified_explain_error": {"connection": "main"},
    "unified_sync_now": {"connection": "main"},
    "unified_search_records": {"entity": "customers"},
    "unified_get_record": {"entity": "customers", "connection": "main", "source_id": "1"},
    "unified_customer_360": {"customer": "ada@example.com"},
    "unified_query": {"sql": "SELECT 1"},
    "unified_propose_mapping": {"connection": "main", "stream": "customers"},
    "unified_preview_route": {"route": "nowhere"},
    "unified_run_route": {"route": "nowhere", "handle": "x"},
}
REFUSED = {"unified_preview_route", "unified_run_route", "unified_customer_360"}

# Each of npm's clients, by the package that has it: how it is made. 2.x speaks the newest revision where it may.
# https://www.npmjs.com/package/@modelcontextprotocol/sdk, https://www.npmjs.com/package/@modelcontextprotocol/client
CLIENTS = {
    "@modelcontextprotocol/sdk@1.32.2": """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const client = new Client({ name: "test", version: "1" });
""",
    "@modelcontextprotocol/client@2.4.0": """
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: "auto" } });
""",
}
SCRIPT = """
const { url, token, command, env, calls } = JSON.parse(process.env.ASKED);
const headers = { authorization: `Bearer ${token}` };
await client.connect(
  command
    ? new StdioClientTransport({ command: command[0], args: command.slice(1), env })
    : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }),
  { timeout: 600_000 }, // a busy machine takes its time to begin
);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const refused = [];
for (const [name, args] of Object.entries(calls))
  if ((await client.callTool({ name, arguments: args })).isError) refused.push(name);
console.log(JSON.stringify({ tools, refused }));
await client.close();
"""
# https://www.npmjs.com/package/@modelcontextprotocol/inspector
INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"


async def test_each_tool_is_listed_and_called_on_stdin(shelf: Shelf, tmp_path: Path) -> None:
    assert CALLS.keys() == TOOLS.keys()
    command, env = on_stdin(shelf, tmp_path)
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=env)
    async with Client(parameters) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS.keys()
        results = {name: await client.call_tool(name, arguments) for name, arguments in CALLS.items()}
        refused = {name for name, result in results.items() if result.is_error}
    assert refused <= REFUSED


async def test_an_agent_that_goes_away_is_no_error(shelf: Shelf, tmp_path: Path) -> None:
    command, env = on_stdin(shelf, tmp_path)
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdin=subprocess.PIPE, stdout=(out := os.pipe())[1], stderr=subprocess.PIPE
    )
    os.close(out[0])
    os.close(out[1])
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    ask = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    _, said = await process.communicate(json.dumps(ask).encode() + b"\n")
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


async def test_npms_clients_list_and_call_each_tool(shelf: Shelf, tmp_path: Path) -> None:
    node = await installed(tmp_path, *CLIENTS)
    command, env = on_stdin(shelf, tmp_path)
    for number, (package, head) in enumerate(CLIENTS.items()):
        (tmp_path / f"ask{number}.mjs").write_text(head + SCRIPT)
        url, token = await way_in(shelf, package)
        for way in ({"url": url, "token": token}, {"command": command, "env": env}):
            asked = json.dumps({**way, "calls": CALLS})
            said = json.loads(await output(tmp_path, node, f"ask{number}.mjs", ASKED=asked))
            assert set(said["tools"]) == TOOLS.keys()
            assert set(said["refused"]) <= REFUSED


@pytest.mark.skipif(
    not os.environ.get("UNIFIED_INSPECTOR"),
    reason="UNIFIED_INSPECTOR=1 fetches the inspector, 110 MB",
)
async def test_the_inspectors_command_line_lists_and_calls_tools(shelf: Shelf, tmp_path: Path) -> None:
    await installed(tmp_path, INSPECTOR)
    url, token = await way_in(shelf, "inspector")
    command, env = on_stdin(shelf, tmp_path)
    variables = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
    # Each call is a process, and on stdin two. That all tools answer there is npm's clients' to show.
    ways = (
        ((url, "--header", f"Authorization: Bearer {token}"), CALLS),
        ((*command, *variables), {"unified_search_records": CALLS["unified_search_records"]}),
    )
    for way, calls in ways:
        inspect = ("node_modules/.bin/mcp-inspector", "--cli", *way, "--method")
        # `--strict` fails where a schema is one that some client could not read.
        listed = json.loads(await output(tmp_path, *inspect, "tools/list", "--strict"))
        assert {tool["name"] for tool in listed["tools"]} == TOOLS.keys()
        for name, given in calls.items():
            pairs = [
                part for key, value in given.items() for part in ("--tool-arg", f"{key}={json.dumps(value)}")
            ]
            answer = json.loads(await output(tmp_path, *inspect, "tools/call", "--tool-name", name, *pairs))
            assert name in REFUSED or not answer.get("isError"), name


def on_stdin(shelf: Shelf, home: Path) -> tuple[list[str], dict[str, str]]:
    """The command that serves the tools of a workspace, and its environment."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "UNIFIED_HOME": str(home),
        "DATABASE_URL": shelf.tenant.api.db.url,
        "UNIFIED_MASTER_KEYS": MASTER_KEY,
    }
    return [sys.executable, "-m", "unified.cli", "mcp", "--workspace", shelf.tenant.slug, "--allow-sync"], env


async def installed(folder: Path, *packages: str) -> str:
    """The path of node, once it has these packages in a folder."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine")
    (folder / "package.json").write_text("{}")
    install = [npm, "install", "--no-audit", "--no-fund", *packages]
    got = await asyncio.to_thread(subprocess.run, install, cwd=folder, capture_output=True, check=False)
    if got.returncode:
        pytest.skip(f"npm can't get {' and '.join(packages)} here")
    return node


async def way_in(shelf: Shelf, name: str) -> tuple[str, str]:
    """The URL of the server, and a token for it."""
    api = shelf.tenant.api
    _, token = await tokens.create(api.db, shelf.tenant.id, name, ALL, actor="tests")
    return f"{str(api.client.base_url).rstrip('/')}/mcp", token.reveal()


async def output(folder: Path, *command: str, **variables: str) -> bytes:
    """What a process writes."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out
