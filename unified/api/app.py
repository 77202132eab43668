"""The whole application: the ingress in front, and behind it everything that is not a delivery.

| path | who answers |
|---|---|
| ``/webhooks/{connector}/{endpoint_path}`` | `ingress`, by itself: deliveries pass no framework |
| ``/``, ``/connectors…``, ``/webhooks``, ``/sign-in…``, ``/set-up…``, … | `pages` |
| ``/api/…``, ``/oauth/callback``, ``/docs``, ``/openapi.json``, ``/healthz``, ``/readyz`` | `management` |
| ``/mcp``, ``/.well-known/oauth-protected-resource/mcp`` | `mcp` |
| ``/metrics``, and all others | `management` |

A browser that asks for a page where none is, below ``/webhooks/`` too, is shown one that says so: `pages`.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from unified.api.ingress.endpoint import PREFIX, WebhookIngress
from unified.api.mcp.endpoint import METADATA_PATH, PATH
from unified.api.pages.app import PATHS

_MCP = (PATH, METADATA_PATH)
_MANAGEMENT = re.compile(r"/(?:api|oauth|docs|openapi\.json|healthz|readyz|metrics)(?:/|$)")


class Application:
    """The ASGI application."""

    def __init__(self, ingress: WebhookIngress, others: ASGIApp, pages: ASGIApp, mcp: ASGIApp) -> None:
        """Hand deliveries to ``ingress``, what people open to ``pages``, agents to ``mcp``, the rest to ``others``."""
        self._ingress = ingress
        self._others = others
        self._pages = pages
        self._mcp = mcp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, is_browser = scope["path"], _asks_for_a_page(scope)
        if path.startswith(PREFIX) and not is_browser:
            await self._ingress(scope, receive, send)
        elif path in _MCP:
            await self._mcp(scope, receive, send)
        elif PATHS.match(path) or (is_browser and not _MANAGEMENT.match(path)):
            await self._pages(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def _asks_for_a_page(scope: Scope) -> bool:
    """Whether a request is a browser's that goes to an address; programs ask for anything, or for JSON."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] in ("GET", "HEAD") and b"text/html" in accepted
