"""The whole application: the ingress in front, and behind it everything that is not a delivery.

| path | who answers |
|---|---|
| ``/webhooks/{connector}/{endpoint_path}`` | `ingress`, by itself: deliveries pass no framework |
| ``/``, ``/connectors…``, ``/webhooks``, ``/sign-in…``, ``/sign-out``, ``/assets/…`` | `pages` |
| ``/api/…``, ``/docs``, ``/openapi.json``, ``/healthz``, ``/readyz``, ``/metrics`` and what is nowhere | `management` |
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from unified.api.ingress.endpoint import PREFIX, WebhookIngress
from unified.api.pages.app import PATHS


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
        elif PATHS.match(scope["path"]):
            await self._pages(scope, receive, send)
        else:
            await self._others(scope, receive, send)
