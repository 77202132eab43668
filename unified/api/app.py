"""The whole application: the ingress in front, and behind it everything that is not a delivery.

| path | who answers |
|---|---|
| ``/webhooks/{connector}/{endpoint_path}`` | `ingress`, by itself: deliveries pass no framework |
| ``/``, ``/connectors…``, ``/webhooks``, ``/sign-in…``, ``/sign-out``, ``/assets/…`` | `pages` |
| ``/api/…``, ``/docs``, ``/openapi.json``, ``/healthz``, ``/readyz``, ``/metrics`` | `management` |
| what is nowhere | `pages` where a browser asks for a page, else `management` |
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from unified.api.ingress.endpoint import PREFIX, WebhookIngress
from unified.api.pages.app import PATHS

_MANAGEMENT = re.compile(r"/(?:api|docs|openapi\.json|healthz|readyz|metrics)(?:/|$)")


class Application:
    """The ASGI application."""

    def __init__(self, ingress: WebhookIngress, others: ASGIApp, pages: ASGIApp) -> None:
        """Hand deliveries to ``ingress``, what people open to ``pages``, and the rest to ``others``."""
        self._ingress = ingress
        self._others = others
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].startswith(PREFIX):
            await self._ingress(scope, receive, send)
        elif PATHS.match(scope["path"]) or (_asks_for_a_page(scope) and not _MANAGEMENT.match(scope["path"])):
            await self._pages(scope, receive, send)
        else:
            await self._others(scope, receive, send)


def _asks_for_a_page(scope: Scope) -> bool:
    """Whether a request is a browser's that goes to an address; programs ask for anything, or for JSON."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])
