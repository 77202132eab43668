"""The protocol, by the official SDK (https://pypi.org/project/mcp/): its requests become calls of the desk.

The SDK takes most of a second to import, so that this module is imported only where an agent asks.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from unified.api.mcp import reading
from unified.api.mcp.agent import IN_SCOPE, Agent
from unified.api.mcp.desk import TOOLS, Desk
from unified.api.mcp.tool import DATA, Tool

_INSTRUCTIONS = (
    "Customers, invoices, events and other records of a company's systems, of one workspace. Read unified://guide "
    f"first. {DATA}"
)
_LIST_MILLISECONDS = 300_000


def server(desk: Desk, agent_of: Callable[[Any], Agent]) -> Server[Any]:
    """An MCP server.

    Args:
        desk: Calls the tools.
        agent_of: Who sends a request, by its HTTP request; None on stdin.
    """

    async def list_tools(ctx: Any, _: Any) -> types.ListToolsResult:
        caller = agent_of(ctx.request).caller
        return types.ListToolsResult(
            tools=[_shown(tool) for tool in desk.tools(caller)], ttl_ms=_LIST_MILLISECONDS
        )

    async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        said, is_done = await desk.call(agent_of(ctx.request), params.name, params.arguments or {})
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=said.decode())], is_error=not is_done
        )

    async def list_resources(_ctx: Any, _: Any) -> types.ListResourcesResult:
        found = [
            types.Resource(
                name=uri.removeprefix("unified://"), uri=uri, description=line, mime_type="text/markdown"
            )
            for uri, (line, _) in reading.pages().items()
        ]
        return types.ListResourcesResult(resources=found, ttl_ms=_LIST_MILLISECONDS)

    async def read_resource(_ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        page = reading.pages().get(str(params.uri))
        if page is None:
            raise MCPError(
                types.INVALID_PARAMS, f"There is no such page; there are {', '.join(reading.pages())}."
            )
        text = types.TextResourceContents(uri=str(params.uri), mime_type="text/markdown", text=page[1])
        return types.ReadResourceResult(contents=[text], ttl_ms=_LIST_MILLISECONDS)

    async def list_prompts(_ctx: Any, _: Any) -> types.ListPromptsResult:
        arguments = [
            types.PromptArgument(name=name, description=text, required=False)
            for name, text in reading.PROMPT_ARGUMENTS.items()
        ]
        one = types.Prompt(name=reading.PROMPT, description=reading.PROMPT_TEXT, arguments=arguments)
        return types.ListPromptsResult(prompts=[one], ttl_ms=_LIST_MILLISECONDS)

    async def get_prompt(_ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        if params.name != reading.PROMPT:
            raise MCPError(types.INVALID_PARAMS, f"There is no such prompt; there is {reading.PROMPT}.")
        text = types.TextContent(type="text", text=reading.prompt(params.arguments or {}))
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])

    return Server(
        "unified-assets",
        version=version("unified-assets"),
        title="Unified Assets",
        instructions=_INSTRUCTIONS,
        get_tool_input_schema=lambda name: TOOLS[name].schema if name in TOOLS else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
    )


class OverHttp:
    """A server over streamable HTTP: no sessions, and each answer one JSON document, so any process may answer."""

    def __init__(self, desk: Desk) -> None:
        """Serve the desk's tools to the agent in each request's scope."""
        self._manager = StreamableHTTPSessionManager(
            server(desk, lambda request: request.scope[IN_SCOPE]), stateless=True, json_response=True
        )
        self._is_ready = asyncio.Event()
        # It ends with the event loop.
        self._running = asyncio.create_task(self._run())

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._is_ready.wait()
        await self._manager.handle_request(scope, receive, send)

    async def _run(self) -> None:
        async with self._manager.run():
            self._is_ready.set()
            await asyncio.Event().wait()


async def serve_stdio(desk: Desk, agent: Agent) -> None:
    """Serve one agent on stdin and stdout, until stdin ends or the agent goes away."""
    served = server(desk, lambda _: agent)
    try:
        async with stdio_server() as (read, write):
            await served.run(read, write, served.create_initialization_options())
    except* BrokenPipeError:
        # What Python still holds for the agent goes nowhere, or it fails once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@cache
def _shown(tool: Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not tool.writes,
        destructive_hint=tool.writes,
        idempotent_hint=True,
        open_world_hint=tool.writes,
    )
    return types.Tool(
        name=tool.name, description=tool.description, input_schema=tool.schema, annotations=hints
    )
