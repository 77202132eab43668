"""The outermost layer: a request's id, its line in the log, its time in the metrics, headers for browsers."""

import logging
import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unified import logs
from unified.api.access_log import AccessLog
from unified.api.management import headers

_REQUEST_ID = headers.REQUEST_ID.lower().encode()
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}

_log = logging.getLogger(__name__)

Observe = Callable[[str, str, int, float], None]


class Edge:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, observe: Observe, *, is_https: bool) -> None:
        """Put ``app`` behind it; ``observe`` gets method, route template, status and seconds of each request."""
        self._app = app
        self._observe = observe
        self._log = AccessLog()
        self._security = dict(_SECURITY)
        if is_https:
            self._security[b"strict-transport-security"] = b"max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        given = _header(scope, _REQUEST_ID)
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        scope["request_id"] = request_id
        logs.note(request=request_id)
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given_already = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._security.items() if name not in given_already]
                message["headers"] = [*message["headers"], *added, (_REQUEST_ID, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            # Starlette raises again what it has answered. Behind the answer there is only the log.
            if not status:
                raise
            _log.debug("request %s was answered with %s", request_id, status, exc_info=True)
        finally:
            seconds = time.perf_counter() - started
            route = template(scope)
            self._observe(scope["method"], route, status, seconds)
            self._log.line(scope["method"], route, status, seconds, f" {request_id}")


def template(scope: MutableMapping[str, Any]) -> str:
    """The route's path with names for what varies, so that neither the log nor a metric holds an id."""
    return str(getattr(scope.get("route"), "path", "elsewhere"))


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""
