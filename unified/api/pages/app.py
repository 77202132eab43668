"""The pages, put together."""

import re
from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from unified.api.ingress.body import DisconnectedError
from unified.api.management.edge import Edge
from unified.api.management.problems import Problem
from unified.api.management.services import Services
from unified.api.metrics import Metrics
from unified.api.pages import mappings, records, sign_in, subscriptions, webhooks
from unified.api.pages.connections import connection, new, progress, settings
from unified.api.pages.connectors import building, marketplace, receiving
from unified.api.pages.customers import customer_routes, identities
from unified.api.pages.data import set_aside, tables
from unified.api.pages.route import NO_SUCH_PAGE, page_problem
from unified.api.pages.view import error_page
from unified.api.pages.workspace import audit, members, overview, switching, tokens, trying

PATHS = re.compile(
    r"/(?:$|(?:connectors|records|tables|rejects|dead-letters|identities|routes|webhooks|subscriptions|"
    r"members|tokens|audit|try|workspaces|sign-in|sign-out|set-up|assets)(?:/|$))"
)
"""Paths that are pages'. Below ``/webhooks/`` there are deliveries, which come before."""

_ASSETS = {"style.css": "text/css", "follow.js": "text/javascript", "build.js": "text/javascript"}


def pages(services: Services, metrics: Metrics, ingress: ASGIApp) -> ASGIApp:
    """The application.

    Args:
        services: The same that the API works with.
        metrics: Where requests are counted.
        ingress: Takes the deliveries that a person sends as a test.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services = services
    app.state.ingress = ingress
    for routes in (
        sign_in.routes,
        overview.routes,
        new.routes,
        marketplace.routes,
        building.routes,
        receiving.routes,
        connection.routes,
        settings.routes,
        progress.routes,
        mappings.routes,
        records.routes,
        tables.routes,
        set_aside.routes,
        identities.routes,
        customer_routes.routes,
        webhooks.routes,
        subscriptions.routes,
        tokens.routes,
        members.routes,
        audit.routes,
        trying.routes,
        switching.routes,
    ):
        app.include_router(routes)
    for name, media_type in _ASSETS.items():
        app.add_api_route(f"/assets/{name}", _asset(name, media_type), methods=["GET", "HEAD"])

    async def refuse(request: Request, error: Exception) -> Response:
        is_nowhere = isinstance(error, HTTPException) and error.status_code == 404  # noqa: PLR2004
        return error_page(request, NO_SUCH_PAGE if is_nowhere else page_problem(error))

    for kind in (Problem, RequestValidationError, HTTPException, DisconnectedError, Exception):
        app.add_exception_handler(kind, refuse)
    return Edge(app, metrics.request, is_https=services.settings.is_https)


def _asset(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    body = files("unified.api.pages").joinpath("assets", name).read_bytes()

    async def answer() -> Response:
        return Response(body, media_type=media_type, headers={"cache-control": "public, max-age=300"})

    return answer
