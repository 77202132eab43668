"""The HTTP client of all adapters: timeouts, retries, rate limits, guarded addresses, no secret in any error.

What differs between providers is declared and passed in: headers, limits, and how refusals are read (``refusals``).
"""

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import msgspec

from unified import tracing
from unified.kit.errors import (
    MAY_PASS,
    ConfigurationError,
    ForbiddenHostError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
)
from unified.kit.http import bodies
from unified.kit.http.answers import Answer
from unified.kit.http.attempts import Effect, Retry, is_open, tried
from unified.kit.http.authentication import SECRETS
from unified.kit.http.limits import RateLimit
from unified.kit.http.recording import recorded
from unified.kit.http.refusals import Refusals
from unified.kit.http.replay import current_replay
from unified.kit.origins import usable_base_url
from unified.kit.secrets import Secret, without, without_lookalikes

_Decoded = TypeVar("_Decoded")
_Read = TypeVar("_Read")

# Of these it is certain that the request did not leave.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# No wait between two attempts is longer, whatever the provider asks for; a longer one is for the next run.
LONGEST_WAIT = 120.0
# Requests that have to wait come back spread over this additional share of the wait.
_SPREAD = 0.1

# The extension of a request that lists the secrets in its parameters and its body.
_SENT = "sent_secrets"
# Static headers that hold a credential, wherever they come from.
_CREDENTIAL_HEADERS = ("authorization", "proxy-authorization", "cookie")


@dataclass(slots=True)
class Traffic:
    """What a client has done so far; shown with each run.

    Attributes:
        requests: Requests sent, retries included.
        retries: How many of them were retries.
        refused: 429 answers.
        waited: Seconds spent waiting for a turn under a rate limit, added up over concurrent requests.
    """

    requests: int = 0
    retries: int = 0
    refused: int = 0
    waited: float = 0.0


class HttpClient:
    """Requests to one provider on behalf of one connection.

    Attributes:
        label: Names the connection in errors: ``stripe connection acme/main``.
        traffic: Counts of what was sent.
        server_time: The provider's clock by its last ``Date`` header, or None before the first answer.
        noted: Called with the headers of each answer, where an adapter reads more of them than the limits do.
    """

    def __init__(
        self,
        config: Any,
        *,
        label: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        limits: Mapping[str, RateLimit],
        auth: httpx.Auth | None = None,
        refusals: Refusals = Refusals(),  # noqa: B008 - it never changes
        most_bytes: int = bodies.MOST_BYTES,
    ) -> None:
        """Open a client. No connection is made before the first request.

        Args:
            config: The connection's :class:`unified.kit.declarations.AdapterConfig`.
            label: Names the connection in errors: ``stripe connection acme/main``.
            headers: Sent with every request; they appear in no error.
            limits: Rate limits by name; a request whose limit is not among them takes ``default``.
            auth: Proves who sends a request; :meth:`unified.kit.adapter.BaseAdapter.authentication` makes it.
            refusals: How the provider's refusals are read.
            most_bytes: What an answer may hold, decompressed.

        Raises:
            ConfigurationError: If the base URL is not usable.
        """
        self.label = label
        self._config = config
        self._limits = limits
        self._refusals = refusals
        self._most_bytes = most_bytes
        self._bound: int | None = None
        self._attempts = config.retry_count + 1
        self._retry_delay = config.retry_delay
        self._slots = asyncio.Semaphore(config.concurrency)
        self.traffic = Traffic()
        self.server_time: datetime | None = None
        self.noted: Callable[[Mapping[str, str]], None] | None = None
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            msg = f"{label}: its credential holds characters that no HTTP header can carry; add it again"
            raise ConfigurationError(msg)
        from unified.kit.http.transport import GuardedTransport  # noqa: PLC0415 - most processes ask no provider

        base_url = _base_url_of(config, label)
        self._base_url, self._origin = str(base_url).rstrip("/"), _origin(base_url)
        self._auth = auth or httpx.Auth()
        self._headers = {
            "accept": "application/json",
            "accept-encoding": bodies.ACCEPTED,
            "user-agent": "unified-assets",
            **{name.lower(): value for name, value in headers.items()},
        }
        self._timeout = httpx.Timeout(config.timeout).as_dict()
        self._transport = current_replay() or recorded(
            GuardedTransport(label, allow_private=config.allow_private_hosts)
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def url(self, path: str) -> str:
        """The URL of a path below the base URL; an answer's links are relative to it."""
        return f"{self._base_url}{path}"

    def is_own(self, url: str) -> bool:
        """Whether a URL is where the credential may go: at the base URL's origin."""
        return _origin(httpx.URL(url)) == self._origin

    def elsewhere(self, url: httpx.URL) -> "HttpClient":
        """A client for the origin of a URL, to which neither the credential nor the headers of this one go.

        It keeps to this one's limits, and counts as part of its traffic. Whether the host may be asked at all the
        caller has seen to; the guard of addresses holds as ever.

        Raises:
            ForbiddenHostError: If nothing can be asked there, as over plain http.
        """
        config = self._config.model_copy(update={"base_url": str(url.copy_with(raw_path=b"/"))})
        try:
            usable_base_url(config)
        except ConfigurationError as error:
            raise ForbiddenHostError(f"{self.label}: a URL that was answered {error}") from None
        other = HttpClient(
            config, label=self.label, limits=self._limits, auth=httpx.Auth(), most_bytes=self._most_bytes
        )
        other.join(self)
        other.traffic, other._bound, other._attempts = self.traffic, self._bound, self._attempts
        return other

    def join(self, other: "HttpClient") -> None:
        """Keep to another client's rate limits and concurrency, together with it.

        Args:
            other: A client of the same connection.
        """
        self._limits, self._slots = other._limits, other._slots  # noqa: SLF001 - our own class

    def bound(self, most_bytes: int, *, attempts: int | None = None) -> None:
        """Let answers from now on hold no more bytes, decompressed, and send each request no more often than this."""
        self._most_bytes = min(self._most_bytes, most_bytes)
        self._bound = self._most_bytes
        self._attempts = min(self._attempts, attempts or self._attempts)

    def is_saturated(self, limit: str = "default") -> bool:
        """Whether a further request under this limit would only wait for others."""
        return self._limit(limit).is_saturated

    def _limit(self, name: str) -> RateLimit:
        return self._limits.get(name) or self._limits["default"]

    async def request(
        self,
        method: str,
        path: str,
        decoder: msgspec.json.Decoder[_Decoded],
        *,
        params: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str = "default",
        accept: tuple[int, ...] = (),
        effect: Effect = "none",
        secrets: Collection[Secret] = (),
    ) -> _Decoded:
        """Send a request, retrying while that may help, and decode its JSON answer; see :meth:`exchange`.

        Args:
            method: GET, POST, ….
            path: Relative to the base URL.
            decoder: What to make of the body.
            params: Query parameters.
            json: Body to send as JSON.
            form: Body to send form-encoded.
            headers: More headers, for example an idempotency key.
            limit: Which of the rate limits this request counts against.
            accept: Error statuses whose bodies are answers all the same.
            effect: What the request changes.
            secrets: What of the parameters or the body no error may show.

        Raises:
            UndecidedError: If the request has an effect, and it is open whether it took place.
            ProviderError: The subclass says how it failed; see :mod:`unified.kit.errors`.
            ForbiddenHostError: If the host resolves to an address that it must not.
        """
        request = self._built(method, path, params, json, form, headers, secrets)
        return await self._send(request, limit, accept, effect, lambda answer: answer.decoded(decoder))

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str = "default",
        accept: tuple[int, ...] = (),
        effect: Effect = "none",
        secrets: Collection[Secret] = (),
        most_bytes: int | None = None,
        keeps: bodies.Kept | None = None,
    ) -> Answer:
        """Send a request, retrying while that may help: its answer with headers and body, whatever that is.

        A request with an effect of ``once`` is retried only while it is certain that nothing was done yet.

        Args:
            method: GET, POST, ….
            path: Relative to the base URL.
            params: Query parameters.
            json: Body to send as JSON.
            form: Body to send form-encoded.
            headers: More headers, for example ``accept: text/csv``.
            limit: Which of the rate limits this request counts against.
            accept: Error statuses whose bodies are answers all the same.
            effect: What the request changes.
            secrets: What of the parameters or the body no error may show.
            most_bytes: What the answer may hold, decompressed; None for what the client's answers may. One that was
                :meth:`bound` keeps to its bound.
            keeps: What is kept of a large answer of success: all of it, in a file that the caller closes, or its
                beginning. By default it is in memory as any other.

        Raises:
            UndecidedError: If the request has an effect, and it is open whether it took place.
            ProviderError: The subclass says how it failed; see :mod:`unified.kit.errors`.
            ForbiddenHostError: If the host resolves to an address that it must not.
        """
        request = self._built(method, path, params, json, form, headers, secrets)
        if most_bytes is not None:
            most = most_bytes if self._bound is None else min(most_bytes, self._bound)
            request.extensions["most_bytes"] = most
        if keeps is not None:
            request.extensions["keeps"] = keeps
        return await self._send(request, limit, accept, effect, lambda answer: answer)

    def _built(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | list[tuple[str, str]] | None,
        json: Any,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        secrets: Collection[Secret],
    ) -> httpx.Request:
        content = None if json is None else msgspec.json.encode(json)
        request = httpx.Request(
            method,
            self._place(path),
            params=params,  # type: ignore[arg-type]
            content=content,
            data=form,
            headers={
                **self._headers,
                **({"content-type": "application/json"} if content is not None else {}),
                **{name.lower(): value for name, value in (headers or {}).items()},
            },
            extensions={
                "timeout": self._timeout,
                "most_bytes": self._most_bytes,
                _SENT: [secret.reveal() for secret in secrets],
            },
        )
        if _origin(request.url) != self._origin:
            raise ForbiddenHostError(
                f"{self.label}: {request.url.host} is not where base_url leads, and no credential goes elsewhere"
            )
        return request

    def _place(self, path: str) -> str:
        """The URL of a request: of a path below the base URL, or of a whole one, such as a link to the next page."""
        is_whole = not path.startswith("/") and httpx.URL(path).is_absolute_url
        return path if is_whole else self.url(f"/{path.removeprefix('/')}")

    async def _send(
        self,
        request: httpx.Request,
        limit: str,
        accept: tuple[int, ...],
        effect: Effect,
        read: Callable[[Answer], _Read],
    ) -> _Read:
        async def attempt(number: int) -> _Read:
            self.traffic.retries += number > 1
            attributes = {
                "http.request.method": request.method,
                "server.address": request.url.host,
                "http.request.resend_count": number - 1 or None,
            }
            with tracing.span(request.method, attributes, kind="client") as span:
                return await self._attempt(request, self._limit(limit), accept, read, span)

        return await tried(attempt, attempts=self._attempts, delay=self._retry_delay, effect=effect)

    async def _attempt(
        self,
        request: httpx.Request,
        limit: RateLimit,
        accept: tuple[int, ...],
        read: Callable[[Answer], _Read],
        span: tracing.Span,
    ) -> _Read:
        what = f"{self.label}: {request.method} {request.url.path}"
        async with self._slots:
            waited = await limit.acquire()
            self.traffic.waited += waited
            self.traffic.requests += 1
            sent = time.monotonic()
            try:
                response = await self._exchanged(request)
            except httpx.HTTPError as error:
                failure = unanswered(what, error, self._silenced(str(error), request))
                raise Retry(failure, decided=isinstance(error, _NOT_SENT)) from error
            except bodies.BodyError as error:
                msg = f"{what} was answered by a body that {error}; ask for less at once, or correct base_url"
                raise ProtocolError(msg) from None
        self._note_time(response)
        for one in self._limits.values():
            one.read(response.headers)
        if self.noted is not None:
            self.noted(response.headers)
        span.set({"http.response.status_code": response.status_code})
        file = response.extensions.get("file")
        answer = Answer(response.status_code, response.headers, response.content, file)
        is_fine = answer.status in accept or (answer.is_success and not self._refusals.is_fault(answer))
        if is_fine:
            limit.passed(sent)
            try:
                return read(answer)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                msg = f"{what} answered {self._silenced(_not_json(answer), request)}; is base_url right?"
                raise Retry(ProtocolError(msg, status=answer.status)) from error
        answer.close()
        raise self._refused(answer, request, what, limit, sent)

    async def _exchanged(self, request: httpx.Request) -> httpx.Response:
        """What is answered in the end to a request that proves who sends it. It keeps no cookies.

        httpx's own client would do the same, and take another 0.3 ms of CPU for cookies, redirects and addresses.
        """
        flow = self._auth.async_auth_flow(request)
        try:
            sent = await anext(flow)
            while True:
                response = await self._transport.handle_async_request(sent)
                response.request = sent
                await response.aread()
                try:
                    sent = await flow.asend(response)
                except StopAsyncIteration:
                    return response
                # A token was rejected before its time, and another one is tried; or a session begins.
                self.traffic.requests += 1
                self.traffic.retries += 1
        finally:
            await flow.aclose()

    def _refused(
        self, answer: Answer, request: httpx.Request, what: str, limit: RateLimit, sent: float
    ) -> Exception:
        """What a refusal is raised as, when the rate limit has heard of it."""
        refusal = self._refusals.read(answer)
        failure = refusal.error(what, answer.status, lambda text: self._silenced(text, request))
        wait = refusal.wait
        is_long = wait is not None and wait > LONGEST_WAIT
        if isinstance(failure, RateLimitedError):
            self.traffic.refused += 1
            # Nobody waits for a limit that lasts longer: each request gets the error at once.
            held = {*self._limits.values(), limit} if refusal.meaning.holds_all else {limit}
            for one in held:
                one.refused(sent, None if is_long else wait)
        else:
            limit.passed(sent)
        if isinstance(failure, MAY_PASS):
            failure.wait = wait if is_long else refusal.meaning.lasts
        if not refusal.meaning.retry or is_long:
            return failure
        if wait is not None:
            wait += random.random() * max(self._retry_delay, _SPREAD * wait)  # noqa: S311 - only to spread them
        return Retry(failure, wait, decided=not is_open(failure))

    def _silenced(self, text: str, request: httpx.Request) -> str:
        """What a provider or a library says about a request, without what the request was sent with."""
        secrets = [*request.extensions.get(SECRETS, ()), *request.extensions[_SENT]]
        for name in _CREDENTIAL_HEADERS:
            value = request.headers.get(name, "")
            secrets += [value, value.rpartition(" ")[2]]
        return without_lookalikes(without(text, secrets))

    def _note_time(self, response: httpx.Response) -> None:
        date = response.headers.get("date")
        if date:
            # An unreadable date is left out; the last one read is still valid.
            with contextlib.suppress(ValueError):
                self.server_time = email.utils.parsedate_to_datetime(date).astimezone(UTC)


def unanswered(what: str, error: httpx.HTTPError, said: str) -> UnavailableError:
    """The error of a request that got no whole answer.

    Args:
        what: Names the request.
        error: What happened.
        said: What that says, without what no error may show.
    """
    if isinstance(error, httpx.TimeoutException):
        return UnavailableError(f"{what} timed out; is the provider slow?")
    reason = said or type(error).__name__
    return UnavailableError(f"{what} got no answer ({reason}); check its address and the network")


def _not_json(answer: Answer) -> str:
    if answer.kind == "text/html":
        return "HTML instead of JSON"
    return f"something that is not the JSON it documents ({answer.kind or 'no content type'})"


def _base_url_of(config: Any, label: str) -> httpx.URL:
    try:
        return usable_base_url(config)
    except ConfigurationError as error:
        raise type(error)(f"{label}: base_url {error}") from None


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
