"""Where providers deliver: ``POST /webhooks/{connector}/{endpoint_path}``.

One delivery, in order: size, endpoint, signature over the raw bytes, share of the traffic, inbox, and only then an
answer. A sender without an endpoint or a signature learns nothing: both get the same answer after the same work. A bare
ASGI application, because a framework's routing and request objects cost as much as all the rest of the path.
"""

import asyncio
import base64
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from unified import logs, tracing
from unified.api.access_log import AccessLog
from unified.api.ingress import answers
from unified.api.ingress.answers import Send, respond
from unified.api.ingress.body import Bodies, DisconnectedError, Receive, TooBusyError, TooLargeError
from unified.api.ingress.floods import FloodGate
from unified.api.ingress.group_commit import FullError, GroupCommit, NotStoredError, UnstorableError
from unified.api.settings import Settings
from unified.kit.errors import PayloadError, SignatureError
from unified.kit.registry import get_verifier, list_verifiers
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import UNREADABLE, Answer, Delivery
from unified.kit.webhooks.signatures import Verifier
from unified.store.errors import StoreError
from unified.store.inbox.events import Received
from unified.store.inbox.lookup import EndpointLookup
from unified.store.inbox.strays import Stray

PREFIX = "/webhooks/"

_ROUTE = "/webhooks/{connector}/{endpoint_path}"
_PATH = re.compile(rb"/webhooks/([a-z0-9_-]{1,63})/([A-Za-z0-9_-]{22,128})")

# A delivery of many events may be so many times as large as one of a single event.
_MOST_TIMES = 16

# Verified in vain where there is no endpoint: of this process alone, in the form that every verifier can work with.
_NOBODYS_SECRET = Secret("whsec_" + base64.b64encode(os.urandom(32)).decode())

# A refusal goes out at a multiple of this after the request came. An endpoint is found in memory, or by a query and the
# opening of its secrets; one that does not exist by a query. All of that takes less.
REFUSAL_SECONDS = 0.05

_log = logging.getLogger(__name__)


class WebhookIngress:
    """The ASGI application of all endpoints."""

    def __init__(
        self,
        endpoints: EndpointLookup,
        inbox: GroupCommit[Received],
        strays: GroupCommit[Stray],
        settings: Settings,
        count: Callable[[int], None],
    ) -> None:
        """Find endpoints in ``endpoints``, commit to ``inbox``, and what belongs to nobody to ``strays``.

        ``count`` is told the status of each answer.
        """
        self._endpoints = endpoints
        self._inbox = inbox
        self._strays = strays
        self._count = count
        self._log = AccessLog()
        self._public_url = settings.public_url
        self._body_bytes = settings.body_bytes
        self._bodies = Bodies(bytes_each=settings.body_bytes, bytes_together=settings.bytes_in_flight)
        self._floods = FloodGate(settings.endpoint_rate, settings.endpoint_burst)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        path = _PATH.fullmatch(scope["raw_path"])
        connector, endpoint_path = (part.decode() for part in path.groups()) if path else ("", "")
        most = self._body_bytes * min(_usual_verifier(connector).most_events, _MOST_TIMES)
        attributes = {"http.request.method": scope["method"], "http.route": _ROUTE}
        with tracing.span(f"{scope['method']} {_ROUTE}", attributes, kind="server") as span:
            try:
                answer = await self._answer(scope, receive, connector, endpoint_path, most)
            except TooLargeError:
                answer = answers.too_large(most)
            except TooBusyError:
                answer = answers.BUSY
            except DisconnectedError:
                return
            span.set({"http.response.status_code": answer.status})
        if answer is answers.UNKNOWN:
            await asyncio.sleep(REFUSAL_SECONDS - (time.perf_counter() - started) % REFUSAL_SECONDS)
        await respond(send, answer)
        self._count(answer.status)
        self._log.add(scope["method"], connector, endpoint_path, answer.status, time.perf_counter() - started)

    async def _answer(
        self, scope: MutableMapping[str, Any], receive: Receive, connector: str, endpoint_path: str, most: int
    ) -> Answer:
        if scope["method"] != "POST":
            return answers.NO_POST
        headers = _by_name(scope["headers"])
        if headers.get("content-encoding", b"identity").lower() != b"identity":
            return answers.COMPRESSED
        body = await self._bodies.read(receive, headers.get("content-length", b""), most)
        try:
            delivery = Delivery("POST", self._url(scope), headers, body, datetime.now(UTC))
            return await self._receive(delivery, connector, endpoint_path)
        finally:
            self._bodies.release(body)

    def _url(self, scope: MutableMapping[str, Any]) -> str:
        query = scope["query_string"]
        return (
            f"{self._public_url}{scope['raw_path'].decode()}{'?' if query else ''}{query.decode('latin-1')}"
        )

    async def _receive(self, delivery: Delivery, connector: str, endpoint_path: str) -> Answer:
        try:
            return await self._accept(delivery, connector, endpoint_path)
        except SignatureError:
            return answers.UNKNOWN
        except PayloadError as error:
            return answers.unreadable(str(error))
        except FullError:
            return answers.BUSY
        except UnstorableError:
            return answers.UNSTORABLE
        except NotStoredError:
            return answers.NOT_STORED
        except StoreError as error:
            _log.warning("an endpoint could not be looked up: %s", error)
            return answers.NOT_STORED

    async def _accept(self, delivery: Delivery, connector: str, endpoint_path: str) -> Answer:
        endpoint = await self._endpoints.find(connector, endpoint_path) if endpoint_path else None
        if endpoint is None:
            _usual_verifier(connector).verify(delivery, [_NOBODYS_SECRET])
            return answers.UNKNOWN
        logs.note(workspace_id=str(endpoint.workspace_id), connection_id=str(endpoint.connection_id))
        received = endpoint.verifier.receive(delivery, endpoint.secrets)
        if isinstance(received, Answer):
            return received
        if seconds := self._floods.wait_for(endpoint.id, time.monotonic()):
            return answers.flooded(seconds)
        if wanted := [
            event for event in received if event.event_type == UNREADABLE or endpoint.wants(event.event_type)
        ]:
            rows, strays = endpoint.sorted_out(wanted)
            if rows:
                await self._append(rows, len(delivery.body))
            if strays:
                await self._strays.commit(strays, 0)
        return endpoint.verifier.stored

    async def _append(self, rows: Sequence[Received], size: int) -> None:
        """Store events; what applies them learns from them which delivery brought them."""
        attributes: dict[str, tracing.Value] = {**tracing.INBOX, "messaging.operation.type": "send"}
        attributes["messaging.batch.message_count"] = len(rows)
        with tracing.span("send webhook_inbox", attributes, kind="producer"):
            if parent := tracing.traceparent():
                rows = [replace(row, traceparent=parent) for row in rows]
            await self._inbox.commit(rows, size)


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Headers as verifiers take them: what came twice is joined, as RFC 9110 (5.3) has it."""
    named: dict[str, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1")
        named[name] = b"%b, %b" % (named[name], value) if name in named else value
    return named


def _usual_verifier(connector: str) -> Verifier:
    """What an endpoint of that connector would most likely be verified by."""
    return get_verifier(connector) if connector in list_verifiers() else _hmac()


@cache
def _hmac() -> Verifier:
    """Made once: each delivery to a generic webhook asks for it."""
    return get_verifier("hmac")
