"""Official clients in processes of their own: Python's on stdin and stdout, npm's over HTTP."""

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

pytestmark = pytest.mark.asyncio(loop_scope="module")

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

# https://www.npmjs.com/package/@modelcontextprotocol/sdk
SCRIPT = """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const { url, token, calls } = JSON.parse(process.env.ASKED);
const client = new Client({ name: "test", version: "1" });
const headers = { authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const refused = [];
for (const [name, args] of Object.entries(calls))
  if ((await client.callTool({ name, arguments: args })).isError) refused.push(name);
console.log(JSON.stringify({ tools, refused }));
await client.close();
"""


async def test_each_tool_is_listed_and_called_on_stdin(shelf: Shelf, tmp_path: Path) -> None:
    assert CALLS.keys() == TOOLS.keys()
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "unified.cli", "mcp", "--workspace", shelf.tenant.slug, "--allow-sync"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "UNIFIED_HOME": str(tmp_path),
            "DATABASE_URL": shelf.tenant.api.db.url,
            "UNIFIED_MASTER_KEYS": MASTER_KEY,
        },
    )
    async with Client(parameters) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS.keys()
        results = {name: await client.call_tool(name, arguments) for name, arguments in CALLS.items()}
        refused = {name for name, result in results.items() if result.is_error}
    assert refused <= REFUSED


async def test_npms_client_lists_and_calls_each_tool(shelf: Shelf, tmp_path: Path) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine")
    (tmp_path / "ask.mjs").write_text(SCRIPT)
    (tmp_path / "package.json").write_text("{}")
    install = [npm, "install", "--no-audit", "--no-fund", "@modelcontextprotocol/sdk@1.32.2"]
    got = await asyncio.to_thread(subprocess.run, install, cwd=tmp_path, capture_output=True, check=False)
    if got.returncode:
        pytest.skip("npm can't get @modelcontextprotocol/sdk here")
    api = shelf.tenant.api
    _, token = await tokens.create(api.db, shelf.tenant.id, "npm", ALL, actor="tests")
    url = f"{str(api.client.base_url).rstrip('/')}/mcp"
    asked = json.dumps({"url": url, "token": token.reveal(), "calls": CALLS})
    process = await asyncio.create_subprocess_exec(
        node, "ask.mjs", cwd=tmp_path, env={**os.environ, "ASKED": asked}, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    said = json.loads(out)
    assert set(said["tools"]) == TOOLS.keys()
    assert set(said["refused"]) <= REFUSED
