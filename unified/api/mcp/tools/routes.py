"""Routes: what a run would push to the other system, and the run, which takes the handle of such a preview."""

import hashlib
from typing import Annotated

import msgspec
from pydantic import Field

from unified.api.mcp import handles
from unified.api.mcp.agent import Agent, RefusedError
from unified.api.mcp.tool import DATA, MOST_ROWS, Answer, Arguments, Tool
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route

_USUAL_RECORDS = 20
_SHOWN_NAMES = 20

RouteName = Annotated[str, Field(max_length=100, description="Name or id of a route.")]


class Preview(Arguments):
    """Of `unified_preview_route`."""

    route: RouteName
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS, description="Records at most.")] = _USUAL_RECORDS


class Run(Arguments):
    """Of `unified_run_route`."""

    route: RouteName
    handle: Annotated[str, Field(max_length=1_000, description="Of the preview that was looked at.")]


async def _preview(agent: Agent, asked: Preview) -> Answer:
    route = await _found(agent, asked.route)
    body = await agent.post(f"/api/routes/{route.id}/preview", query=[("limit", str(asked.limit))])
    pushes = msgspec.json.decode(body, type=list[msgspec.Raw])
    content = {
        "note": DATA,
        "route": route.key,
        "pushes": pushes,
        "may_be_more": len(pushes) >= asked.limit,
        "handle": await handles.seal(agent, route),
    }
    return Answer(content, len(pushes))


async def _run(agent: Agent, asked: Run) -> Answer:
    route = await _found(agent, asked.route)
    await handles.check(agent, route, asked.handle)
    key = hashlib.sha256(asked.handle.encode()).hexdigest()
    entry = await agent.post(f"/api/routes/{route.id}/run", {}, key=key)
    return Answer({"asked_for": msgspec.Raw(entry), "next": "It begins within seconds."})


async def _found(agent: Agent, name: str) -> Route:
    routes = await Routes(agent.services.db).of_workspace(agent.caller.workspace_id)
    for route in routes:
        if name in (route.name, route.key, str(route.id)):
            return route
    there = ", ".join(route.name for route in routes[:_SHOWN_NAMES]) or "none"
    raise RefusedError(f"There is no such route in this workspace; there are: {there}.")


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="unified_preview_route",
        description="What a run of a route would push to the other system, field by field. Both systems are read; "
        f"nothing is sent. Gives the handle that unified_run_route takes. {DATA}",
        takes=Preview,
        permissions=frozenset({"connections:read", "records:read"}),
        call=_preview,
    ),
    Tool(
        name="unified_run_route",
        description="Run a route: customers are written to the other system. Preview it first, and run it only when "
        "the person you work for has seen the preview and agrees.",
        takes=Run,
        permissions=frozenset({"connections:read", "connections:sync"}),
        call=_run,
        writes=True,
    ),
)
