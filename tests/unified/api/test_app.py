"""Which part of the server answers a request."""

from typing import TYPE_CHECKING, Any, cast

import pytest
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from unified.api.app import Application
from unified.api.management.routers import routers

if TYPE_CHECKING:
    from unified.api.ingress.endpoint import WebhookIngress

_BROWSER = [(b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")]
_PATHS = sorted(
    {
        route.path
        for routes in routers()
        for route in routes.routes
        if isinstance(route, APIRoute) and "GET" in (route.methods or ())
    }
)


async def answerer(path: str, headers: list[tuple[bytes, bytes]], method: str = "GET") -> str:
    answered: list[str] = []

    def part(name: str) -> ASGIApp:
        async def answer(_scope: Scope, _receive: Receive, _send: Send) -> None:
            answered.append(name)

        return answer

    whole = Application(
        cast("WebhookIngress", part("ingress")), part("management"), part("pages"), part("mcp")
    )
    scope: dict[str, Any] = {"type": "http", "path": path, "method": method, "headers": headers}
    await whole(scope, cast("Receive", None), cast("Send", None))
    (name,) = answered
    return name


@pytest.mark.parametrize("path", _PATHS)
async def test_a_browser_reaches_whatever_the_api_serves(path: str) -> None:
    assert await answerer(path, _BROWSER) == "management"


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/connectors", [], "pages"),
        ("/records/customers", [], "pages"),
        ("/nowhere", _BROWSER, "pages"),
        ("/nowhere", [], "management"),
        ("/mcp", _BROWSER, "mcp"),
        ("/mcp/elsewhere", [], "management"),
        ("/.well-known/oauth-protected-resource/mcp", [], "mcp"),
        ("/webhooks/stripe/of-a-browser", _BROWSER, "pages"),
        ("/webhooks/stripe/of-a-program", [], "ingress"),
    ],
)
async def test_what_is_nowhere_is_a_page_to_a_browser_alone(
    path: str, headers: list[tuple[bytes, bytes]], expected: str
) -> None:
    assert await answerer(path, headers) == expected
