"""The whole application: the ingress in front, whatever else the server has behind it."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.answers import RETRY_SECONDS, Send
from api.body import Receive
from api.ingress import PREFIX, WebhookIngress
from store.database import Database
from store.errors import StoreError

# A probe that waits longer has its answer.
_PROBE_SECONDS = 2.0


class Application:
    """The ASGI application."""

    def __init__(self, db: Database, ingress: WebhookIngress) -> None:
        """Serve ``ingress`` and the probes of ``db``."""
        self._ingress = ingress
        self._others = Starlette(routes=[Route("/healthz", _is_running), Route("/readyz", self._is_ready)])
        self._db = db

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"].startswith(PREFIX):
            await self._ingress(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    async def _is_ready(self, _: Request) -> Response:
        """Whether deliveries can be stored now."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS), self._db.scheduler() as conn:
                await conn.execute("SELECT 1")
        except (StoreError, TimeoutError):
            headers = {"retry-after": str(RETRY_SECONDS)}
            return PlainTextResponse("the database does not answer\n", 503, headers)
        return PlainTextResponse("ready\n")


async def _is_running(_: Request) -> Response:
    """Whether the process answers at all."""
    return PlainTextResponse("running\n")
