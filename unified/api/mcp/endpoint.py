"""`/mcp`: MCP over streamable HTTP, for API tokens and JWTs, and where a client learns who issues these.

A request is admitted, counted and bounded as any other of the API, and then handed to the SDK, whole. Revision
2026-07-28 and the earlier ones (https://modelcontextprotocol.io/specification/2026-07-28/basic/transports).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.types import ASGIApp, Message

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer
from unified.api.management.edge import Edge
from unified.api.management.problems import Problem, answer_problems
from unified.api.management.route import ManagementRoute
from unified.api.management.services import Services, Use
from unified.api.mcp.agent import IN_SCOPE, Agent, Api
from unified.api.mcp.budgets import Budgets
from unified.api.mcp.desk import Desk
from unified.api.metrics import Metrics
from unified.store.workspaces.permissions import SCOPES

if TYPE_CHECKING:
    from unified.api.mcp.server import OverHttp

PATH = "/mcp"
METADATA_PATH = f"/.well-known/oauth-protected-resource{PATH}"
"""RFC 9728 (3.1): the well-known part stands before the resource's path."""

_UNKNOWN = 401


class McpRoute(ManagementRoute):
    """A route whose refusals say where a client learns how to become known (RFC 9728, 5.1)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler."""
        handle = super().get_route_handler()

        async def handle_and_lead(request: Request) -> Response:
            response = await handle(request)
            if response.status_code == _UNKNOWN:
                services: Services = request.app.state.services
                leads = f'resource_metadata="{services.settings.public_url}{METADATA_PATH}"'
                challenge = response.headers["www-authenticate"]
                response.headers["www-authenticate"] = f"{challenge}{',' if '=' in challenge else ''} {leads}"
            return response

        return handle_and_lead


class Transport:
    """The SDK, imported with the first request, in a thread: others are answered meanwhile."""

    def __init__(self, desk: Desk, api: Api) -> None:
        """Serve the desk's tools, which call ``api``."""
        self.api = api
        self._desk = desk
        self._opened: asyncio.Task[OverHttp] | None = None

    async def answer(self, request: Request, agent: Agent) -> Response:
        """The SDK's answer to a request of that agent's."""
        if self._opened is None:
            self._opened = asyncio.create_task(self._open())
        over_http = await asyncio.shield(self._opened)
        body = await request.body()
        is_given = False
        answered = Response(b"")
        written = bytearray()

        async def receive() -> Message:
            nonlocal is_given
            if is_given:  # nothing more comes, until the answer is written
                await asyncio.Event().wait()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.status_code = message["status"]
                answered.raw_headers = list(message.get("headers", ()))
            else:
                written.extend(message.get("body", b""))

        await over_http.answer({**request.scope, IN_SCOPE: agent}, receive, send)
        answered.body = bytes(written)
        return answered

    async def _open(self) -> "OverHttp":
        def load() -> "type[OverHttp]":
            from unified.api.mcp.server import OverHttp  # noqa: PLC0415 - most of a second, for those who ask

            return OverHttp

        return (await asyncio.to_thread(load))(self._desk)


routes = APIRouter(route_class=McpRoute, include_in_schema=False)
metadata = APIRouter(include_in_schema=False)  # open to everybody

Member = Annotated[Caller, Depends(Rule(None, in_workspace=True))]


@routes.post(PATH)
async def answer(request: Request, caller: Member, services: Use) -> Response:
    """One message of an agent's."""
    origin = request.headers.get("origin")
    known = (services.settings.public_url, *services.settings.management.origins)
    if origin is not None and origin not in known:
        raise Problem(
            403, "A web page of another origin may not use this; UNIFIED_API_ORIGINS names those that may."
        )
    transport: Transport = request.app.state.transport
    agent = Agent(caller, services, transport.api, request.headers["authorization"])
    return await transport.answer(request, agent)


@metadata.get(METADATA_PATH)
async def describe(services: Use) -> Response:
    """What a client needs to know to get a token that is good here (RFC 9728)."""
    jwt = services.settings.management.jwt
    return json_answer(
        {
            "resource": f"{services.settings.public_url}{PATH}",
            "resource_name": "Unified Assets",
            "authorization_servers": [] if jwt is None else [jwt.issuer],
            "bearer_methods_supported": ["header"],
            "scopes_supported": sorted(SCOPES),
        }
    )


def mcp(services: Services, metrics: Metrics, management: ASGIApp) -> ASGIApp:
    """The application.

    Args:
        services: What the API works with.
        metrics: Where requests are counted.
        management: The API, which tools call.
    """
    limits = services.settings.management
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.transport = Transport(Desk(Budgets(limits.mcp_calls, limits.mcp_rows)), Api(management))
    app.include_router(routes)
    app.include_router(metadata)
    answer_problems(app)
    return Edge(app, metrics.request, is_https=services.settings.is_https)
