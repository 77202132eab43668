"""What each request of the API goes through, in this order, before a route's own code.

Who asks and whether they may; how often; the body, bounded and well-formed; and where a POST brings an
``Idempotency-Key``, whether it was answered before. Each router is made by :func:`router`, so that no route can do
without.
"""

import re
import time
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from unified.api.ingress.body import DisconnectedError, TooBusyError, TooLargeError
from unified.api.management import headers
from unified.api.management.access.callers import Caller, Identity, Rule
from unified.api.management.openapi import common_to
from unified.api.management.problems import RETRY_SECONDS, Problem, explained, problem_response
from unified.api.management.services import Services, services_of
from unified.store.idempotency import KeptAnswer, Place

DEEPEST = 32
"""Levels that a body's lists and objects may be nested."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json(?:;.*)?", re.IGNORECASE)
# Strings whole, an unfinished one to its end, so that each byte is looked at once.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
# Of an answer that is kept; the others belong to the request that it was given to.
_KEPT_HEADERS = ("content-type", "etag", "location")


class _JsonRequest(Request):
    """A request whose body is there already, and is read as JSON strictly: no NaN, no lone surrogates."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, _replay(body))

    async def json(self) -> Any:
        return await _decode(await self.body())


class ManagementRoute(APIRoute):
    """A route of the API."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        """Take what FastAPI's route takes, and describe what all have in common."""
        super().__init__(path, endpoint, **settings)
        common, own = common_to(self.rule, self.methods or ()), self.openapi_extra or {}
        parameters = [*common["parameters"], *own.get("parameters", ())]
        self.openapi_extra = {**common, **own, "parameters": parameters}

    @cached_property
    def rule(self) -> Rule:
        """What the route asks of its callers.

        Raises:
            TypeError: If it has no such parameter, or several: a route open to everybody by mistake does not start.
        """
        rules = [one.call for one in self.dependant.dependencies if isinstance(one.call, Rule)]
        if len(rules) != 1:
            raise TypeError(
                f"{self.path} needs one parameter that says who may call it, and has {len(rules)}"
            )
        return rules[0]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler behind what all go through."""
        handle = super().get_route_handler()
        rule = self.rule
        has_body = self.body_field is not None

        async def handle_after_all(request: Request) -> Response:
            limits: dict[str, str] = {}
            try:
                services = services_of(request)
                given = request.headers
                caller = await rule.admit(
                    services.access, given.get("authorization"), given.get(headers.WORKSPACE)
                )
                request.state.caller = caller
                limits = count_request(services, caller)
                if not has_body and request.method != "POST":
                    response = await handle(request)
                else:
                    response = await _handle_body(request, services, caller, handle)
            except DisconnectedError:
                return problem_response(request, Problem(400, "The request ended before its body did."))
            except Exception as error:  # noqa: BLE001 - whatever it was, the caller gets an answer
                response = problem_response(request, explained(error))
            response.headers.update(limits)
            return response

        return handle_after_all


def router(prefix: str, tag: str) -> APIRouter:
    """A router of the API.

    Args:
        prefix: Beginning of its paths, ``/api/…``.
        tag: Its heading in the reference.
    """
    return APIRouter(prefix=prefix, tags=[tag], route_class=ManagementRoute)


def count_request(services: Services, caller: Caller | Identity) -> dict[str, str]:
    """Count a request of the caller's; what is left goes into the headers that the IETF's draft of RateLimit has.

    Raises:
        Problem: 429 where it is one too many.
    """
    settings, now = services.settings.management, time.monotonic()
    wait = services.floods.wait_for(caller.actor, now)
    left = services.floods.left(caller.actor, now)
    window = -(-settings.burst // settings.rate)
    limits = {
        "ratelimit-policy": f'"default";q={settings.burst};w={window}',
        "ratelimit": f'"default";r={left};t={wait or -(-(settings.burst - left) // settings.rate)}',
    }
    if wait:
        raise Problem(
            429,
            f"More than {settings.rate} requests a second; come again in {wait} s.",
            headers={**limits, "retry-after": str(wait)},
        )
    return limits


async def _handle_body(
    request: Request,
    services: Services,
    caller: Caller | Identity,
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    body = await _body(request, services)
    try:
        readable = _JsonRequest(request, body)
        key = request.headers.get(headers.IDEMPOTENCY_KEY)
        if request.method != "POST" or key is None or not isinstance(caller, Caller):
            return await handle(readable)
        if not _KEY.fullmatch(key):
            raise Problem(422, f"{headers.IDEMPOTENCY_KEY} has 1 to 255 visible ASCII characters.")
        place = Place(caller.workspace_id, caller.actor, f"POST {request.url.path}", key)
        return await _once(services, place, readable, body, handle)
    finally:
        services.bodies.release(body)


async def _once(
    services: Services,
    place: Place,
    request: Request,
    body: bytes,
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    """Carry a request out, or answer it as it was answered before. Only a success is kept."""
    begun = await services.answers.begin(place, request.url.query.encode() + b"\n" + body)
    if isinstance(begun, KeptAnswer):
        kept, kept_body = msgspec.msgpack.decode(begun.answer, type=tuple[dict[str, str], bytes])
        return Response(kept_body, begun.status, {**kept, "idempotency-replayed": "true"})
    is_kept = False
    try:
        response = await handle(request)
        if 200 <= response.status_code < 300:  # noqa: PLR2004
            kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            answer = msgspec.msgpack.encode((kept, bytes(response.body)))
            await services.answers.keep(begun, response.status_code, answer)
            is_kept = True
        return response
    finally:
        if not is_kept:
            await services.answers.abandon(begun)


async def _body(request: Request, services: Services) -> bytes:
    """All of the body; it counts until it is handed to ``bodies.release``."""
    given = request.headers
    if given.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the body as it is, without Content-Encoding.")
    try:
        body = await services.bodies.read(request.receive, given.get("content-length", "").encode())
    except TooLargeError:
        most = services.settings.management.body_bytes
        raise Problem(413, f"A body has at most {most} bytes.", headers={"connection": "close"}) from None
    except TooBusyError:
        again = {"retry-after": str(RETRY_SECONDS), "connection": "close"}
        raise Problem(503, "Too much is under way; come again.", headers=again) from None
    if body and not _JSON.fullmatch(given.get("content-type", "")):
        services.bodies.release(body)
        raise Problem(415, "Send the body as JSON, with Content-Type: application/json.")
    return body


async def _decode(body: bytes) -> Any:
    depth = 0
    for bracket in _BRACKETS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(bracket[0], 0)
        if depth > DEEPEST:
            raise Problem(400, f"The body is nested more than {DEEPEST} levels deep.")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(400, "The body is not JSON.") from None


def _replay(body: bytes) -> Receive:
    """ASGI's receive, for a body that was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
