"""The HTTP client of all adapters: timeouts, retries, rate limits, guarded addresses, no secret in any error.

What differs between providers is passed in: headers, limits, and a function that reads a refusal.
"""

import asyncio
import base64
import contextlib
import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import httpx
import msgspec
import stamina

from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    ForbiddenHostError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
    UndecidedError,
)
from unified.kit.http.limits import RateLimit
from unified.kit.secrets import without

# A retry is one line of the application's own log, not of structlog's on standard output.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])

_Decoded = TypeVar("_Decoded")

Effect = Literal["none", "repeatable", "once"]
"""What a request changes at the provider: nothing; something that a repetition leaves as it is; or something
that a repetition would do twice."""

# Of these it is certain that the request did not leave.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

# What an error status means and what to do about it; _advice knows the rest.
_ADVICE: dict[int, tuple[type[ProviderError], str]] = {
    401: (AuthenticationError, ". The credential is wrong or revoked; add a valid one"),
    403: (PermissionDeniedError, ". Give the credential the right to do this"),
    404: (NotFoundError, ". Is base_url right?"),
    408: (UnavailableError, ". The next run goes on from here"),
    423: (UnavailableError, ". The next run goes on from here"),
    425: (UnavailableError, ". The next run goes on from here"),
    429: (RateLimitedError, ". The next run goes on from here"),
}

# No wait between two attempts is longer, whatever the provider asks for; a longer one is for the next run.
LONGEST_WAIT = 120.0
_LONGEST_BACKOFF = 30.0
_LONGEST_PROVIDER_TEXT = 300

# An escape in JSON text: a whole surrogate pair, half of one (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a provider's error answer is to be taken.

    Attributes:
        reason: The provider's own words, without anything secret.
        retry: Whether the same request may succeed later.
        code: The provider's own word for what is wrong, for adapters that act on it.
        wait: Seconds to wait first where the answer has no ``Retry-After``; None leaves it to the backoff.
    """

    reason: str
    retry: bool
    code: str | None = None
    wait: float | None = None


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


class _Retry(Exception):  # noqa: N818 - a signal to the retry loop, never seen outside
    """An attempt failed in a way that may pass.

    Attributes:
        error: How it failed.
        wait: Seconds to wait first, or None.
        decided: Whether the provider certainly did nothing.
    """

    def __init__(self, error: ProviderError, wait: float | None = None, *, decided: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
        self.decided = decided


def read_refusal(response: httpx.Response) -> Refusal:
    """The default reading of an error answer: 408, 423, 429 and 5xx may pass, the rest will not."""
    retry = response.status_code in (408, 423, 425, 429) or httpx.codes.is_server_error(response.status_code)
    return Refusal(response.reason_phrase, retry)


class HttpClient:
    """Requests to one provider on behalf of one connection.

    Attributes:
        label: Names the connection in errors: ``stripe connection acme/main``.
        traffic: Counts of what was sent.
        server_time: The provider's clock by its last ``Date`` header, or None before the first answer.
    """

    def __init__(
        self,
        config: Any,
        *,
        label: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        limits: Mapping[str, RateLimit],
        auth: httpx.Auth | None = None,
        read_refusal: Callable[[httpx.Response], Refusal] = read_refusal,
        on_response: Callable[[httpx.Response], None] | None = None,
    ) -> None:
        """Open a client. No connection is made before the first request.

        Args:
            config: The connection's :class:`unified.kit.declarations.AdapterConfig`.
            label: Names the connection in errors: ``stripe connection acme/main``.
            headers: Sent with every request; they appear in no error.
            limits: Rate limits by name; a request without a name takes ``default``.
            auth: Proves who sends a request; :meth:`unified.kit.adapter.BaseAdapter.authentication` makes it.
            read_refusal: Reads the provider's error answers.
            on_response: Sees each answer, to learn limits from its headers.

        Raises:
            ConfigurationError: If the base URL is not usable.
        """
        self.label = label
        self._limits = limits
        self._read_refusal = read_refusal
        self._on_response = on_response
        self._attempts = config.retry_count + 1
        self._retry_delay = config.retry_delay
        self._slots = asyncio.Semaphore(config.concurrency)
        self.traffic = Traffic()
        self.server_time: datetime | None = None
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            msg = f"{label}: its credential holds characters that no HTTP header can carry; add it again"
            raise ConfigurationError(msg)
        from unified.kit.http.transport import GuardedTransport  # noqa: PLC0415 - most processes ask no provider

        self._client = httpx.AsyncClient(
            base_url=_checked_base_url(config, label),
            auth=auth,
            headers={"accept": "application/json", "user-agent": "unified-assets", **headers},
            timeout=config.timeout,
            transport=GuardedTransport(label, allow_private=config.allow_private_hosts),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def url(self, path: str) -> str:
        """The URL of a path below the base URL; an answer's links are relative to it."""
        return f"{str(self._client.base_url).rstrip('/')}{path}"

    def join(self, other: "HttpClient") -> None:
        """Keep to another client's rate limits and concurrency, together with it.

        Args:
            other: A client of the same connection.
        """
        self._limits, self._slots = other._limits, other._slots  # noqa: SLF001 - our own class
        self._on_response = other._on_response  # noqa: SLF001

    def is_saturated(self, limit: str = "default") -> bool:
        """Whether a further request under this limit would only wait for others."""
        return self._limits[limit].is_saturated

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
    ) -> _Decoded:
        """Send a request, retrying while that may help, and decode its JSON answer.

        A request with an effect of ``once`` is retried only while it is certain that nothing was done yet.

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

        Raises:
            UndecidedError: If the request has an effect, and it is open whether it took place.
            ProviderError: The subclass says how it failed; see :mod:`unified.kit.errors`.
            ForbiddenHostError: If the host resolves to an address that it must not.
        """
        content = None if json is None else msgspec.json.encode(json)
        request = self._client.build_request(
            method,
            path,
            params=params,  # type: ignore[arg-type]
            content=content,
            data=form,
            headers={
                **({"content-type": "application/json"} if content is not None else {}),
                **(headers or {}),
            },
        )
        if _origin(request.url) != _origin(self._client.base_url):
            raise ForbiddenHostError(
                f"{self.label}: {request.url.host} is not where base_url leads, and no credential goes elsewhere"
            )
        decided = True

        def retry(error: Exception) -> bool | float:
            nonlocal decided
            decided = decided and (error.decided if isinstance(error, _Retry) else not _is_open(error))
            if not isinstance(error, _Retry) or (effect == "once" and not decided):
                return False
            # The provider's own wait where it gave one, else exponential backoff.
            return True if error.wait is None else error.wait

        try:
            async for attempt in stamina.retry_context(
                on=retry,
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._retry_delay,
                wait_max=_LONGEST_BACKOFF,
                wait_jitter=self._retry_delay,
            ):
                with attempt:
                    self.traffic.retries += attempt.num > 1
                    return await self._attempt(request, decoder, self._limits[limit], accept)
        except (RequestRefusedError, NotFoundError):
            raise  # its word on this very request, earlier attempts included
        except (_Retry, ProviderError) as last:
            failure = last.error if isinstance(last, _Retry) else last
            if effect != "none" and not decided:
                msg = f"{failure}; whether it was carried out is open"
                raise UndecidedError(msg, status=failure.status, code=failure.code) from None
            raise failure from None
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        request: httpx.Request,
        decoder: msgspec.json.Decoder[_Decoded],
        limit: RateLimit,
        accept: tuple[int, ...],
    ) -> _Decoded:
        what = f"{request.method} {request.url.path}"
        async with self._slots:
            self.traffic.waited += await limit.acquire()
            self.traffic.requests += 1
            try:
                response = await self._client.send(request)
            except httpx.TimeoutException as error:
                msg = f"{self.label}: {what} timed out; is the provider slow?"
                raise _Retry(UnavailableError(msg), decided=isinstance(error, _NOT_SENT)) from error
            except httpx.HTTPError as error:
                reason = without(str(error), self._secrets_of(request)) or type(error).__name__
                msg = f"{self.label}: {what} got no answer ({reason}); check base_url and the network"
                raise _Retry(UnavailableError(msg), decided=isinstance(error, _NOT_SENT)) from error
        # Where a token was rejected before its time, another one was tried.
        self.traffic.requests += len(response.history)
        self.traffic.retries += len(response.history)
        self._note_time(response)
        if self._on_response:
            self._on_response(response)
        if response.is_success or response.status_code in accept:
            try:
                empty = response.status_code == httpx.codes.NO_CONTENT
                return _decode(decoder, b"null" if empty else response.content)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                msg = (
                    f"{self.label}: {what} answered {_not_json(self._silenced(response))}; is base_url right?"
                )
                raise _Retry(ProtocolError(msg, status=response.status_code)) from error
        refusal = self._read_refusal(self._silenced(response))
        failure = _provider_error(f"{self.label}: {what}", response.status_code, refusal)
        if not refusal.retry:
            raise failure
        wait = _retry_after(response)
        if wait is None:
            wait = refusal.wait
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.traffic.refused += 1
            limit.refused(wait if wait is not None else self._retry_delay)
        if wait is not None and wait > LONGEST_WAIT:
            raise failure
        raise _Retry(failure, wait, decided=not _is_open(failure))

    def _silenced(self, response: httpx.Response) -> httpx.Response:
        """An answer without what it repeats of the credential that it was asked with."""
        secrets = self._secrets_of(response.request)
        return httpx.Response(
            response.status_code,
            headers=[
                (name, without(value, secrets))
                for name, value in response.headers.multi_items()
                if name not in ("content-encoding", "content-length", "transfer-encoding")
            ],
            text=without(response.text, secrets),
            request=response.request,
        )

    def _secrets_of(self, request: httpx.Request) -> list[str]:
        """What only authentication has put into a request's headers: whole values, and the tokens in them."""
        usual = {*self._client.headers, "host", "content-type", "content-length", "idempotency-key"}
        values = [value for name, value in request.headers.items() if name not in usual]
        tokens = [value.rpartition(" ")[2] for value in values]
        # RFC 7617: the user and the password, in base64.
        pairs = [base64.b64decode(value[6:]).decode() for value in values if value.startswith("Basic ")]
        return [*values, *tokens, *(pair.partition(":")[2] for pair in pairs)]

    def _note_time(self, response: httpx.Response) -> None:
        date = response.headers.get("date")
        if date:
            # An unreadable date tells nothing; the last one read still stands.
            with contextlib.suppress(ValueError):
                self.server_time = email.utils.parsedate_to_datetime(date).astimezone(UTC)


def _decode(decoder: msgspec.json.Decoder[_Decoded], content: bytes) -> _Decoded:
    """Decode JSON. Half a surrogate pair, left by a system that cuts text in UTF-16, becomes U+FFFD.

    Otherwise one such name would make its whole page unreadable, on every run.
    """
    try:
        return decoder.decode(content)
    except msgspec.DecodeError:
        whole = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], content)
        return decoder.decode(whole)


def _is_open(error: Exception) -> bool:
    """Whether a failure leaves open what the provider did."""
    return (
        isinstance(error, UnavailableError)
        and error.status is not None
        and error.status >= httpx.codes.INTERNAL_SERVER_ERROR
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait by the ``Retry-After`` header, a number or a date (RFC 9110 section 10.2.3)."""
    text = response.headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _provider_error(what: str, status: int, refusal: Refusal) -> ProviderError:
    reason = " ".join(refusal.reason.split())[:_LONGEST_PROVIDER_TEXT]
    told = f"{what} answered {status}: {reason}"
    kind, advice = _advice(status)
    return kind(told + advice, status=status, code=refusal.code)


def _advice(status: int) -> tuple[type[ProviderError], str]:
    known = _ADVICE.get(status)
    if known is not None:
        return known
    if httpx.codes.is_server_error(status):
        return UnavailableError, ". The next run goes on from here"
    if httpx.codes.is_redirect(status):
        return ProtocolError, ". Redirects are not followed; correct base_url"
    return RequestRefusedError, ""


def _not_json(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "no content type").split(";")[0]
    return (
        "HTML instead of JSON"
        if kind == "text/html"
        else f"something that is not the JSON it documents ({kind})"
    )


def _checked_base_url(config: Any, label: str) -> httpx.URL:
    try:
        url = httpx.URL(config.base_url)
    except httpx.InvalidURL as error:
        msg = f"{label}: base_url is not a URL ({error})"
        raise ConfigurationError(msg) from error
    if url.scheme not in ("https", "http") or not url.host or url.userinfo or url.query or url.fragment:
        msg = f"{label}: base_url must look like https://host/path, without a user, query or fragment"
        raise ConfigurationError(msg)
    if url.scheme == "http" and not config.allow_private_hosts:
        msg = f"{label}: base_url must be https; plain http is for private hosts, with allow_private_hosts"
        raise ConfigurationError(msg)
    is_known = any(f".{url.host}".endswith(f".{host}") for host in config.hosts)
    if config.hosts and not is_known and not config.allow_private_hosts:
        raise ForbiddenHostError(
            f"{label}: base_url leads to {url.host}, which is none of this system's hosts "
            f"({', '.join(config.hosts)}); correct it"
        )
    return url


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
