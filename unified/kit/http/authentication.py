"""How a request proves who sends it: one way for each kind of credential, each of which says what must not be shown.

Not here: where credentials are kept (the store), and OAuth's own endpoints (``unified.kit.oauth``).
"""

import base64
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

import httpx
import msgspec

from unified.kit.declarations import KeyPlace
from unified.kit.errors import AuthenticationError, ConfigurationError
from unified.kit.http.answers import Answer
from unified.kit.http.refusals import Refusals
from unified.kit.secrets import Secret

SECRETS = "secrets"
"""The extension of a request that lists what of it an error must not show."""

ANSWERS_SECRET = "answers_secret"  # noqa: S105 - a name
"""The extension of a request whose answer holds a secret, such as a session's token: it is never shown."""


_FORM = "application/x-www-form-urlencoded"


class TokenSource(Protocol):
    """Access tokens of one connection, which somebody refreshes before they run out."""

    async def current(self) -> Secret:
        """A token that is good for the next request.

        Raises:
            ProviderError: If there is none, and none can be had now.
        """
        ...

    async def renewed(self, rejected: Secret) -> Secret:
        """Another token than one that the provider has just rejected, before its time.

        Raises:
            ProviderError: If there is none, and none can be had now.
        """
        ...


class HeaderAuthentication(httpx.Auth):
    """A header that never changes: a key, a token, a user with a password."""

    def __init__(self, name: str, value: str, *, secrets: Sequence[str], label: str) -> None:
        """Send ``name: value`` with each request.

        Args:
            name: The header.
            value: All of its value.
            secrets: The parts of the value that an error must not show.
            label: Names the connection in errors.

        Raises:
            ConfigurationError: If no header can carry the value; the message names ``label`` and does not show it.
        """
        self._name = name
        self._value = _sendable(value, label)
        self._secrets = (value, *secrets)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the header."""
        request.headers[self._name] = self._value
        request.extensions[SECRETS] = self._secrets
        yield request


class QueryAuthentication(httpx.Auth):
    """A key in the URL's query, for the systems that take it nowhere else."""

    def __init__(self, parameter: str, value: str) -> None:
        """Send ``?parameter=value`` with each request."""
        self._parameter = parameter
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the parameter; once, also where a request is sent again."""
        request.url = request.url.copy_set_param(self._parameter, self._value)
        request.extensions[SECRETS] = (self._value,)
        yield request


class BodyAuthentication(httpx.Auth):
    """A key beside what a request sends, as JSON or as a form, for the systems that take it nowhere else."""

    requires_request_body = True

    def __init__(self, field: str, value: str, *, label: str) -> None:
        """Send the key as ``field`` of each body; ``label`` names the connection in errors."""
        self._field = field
        self._value = value
        self._label = label

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the body with the key in it. What the caller holds of the request keeps the body without.

        Raises:
            ConfigurationError: If there is no body to put it into.
        """
        kind = request.headers.get("content-type", "")
        if kind == "application/json":
            fields = msgspec.json.decode(request.content, type=dict[str, msgspec.Raw])
            content = msgspec.json.encode({**fields, self._field: self._value})
        elif kind == _FORM or (request.method != "GET" and not request.content):
            content = b"&".join(
                filter(None, (request.content, urlencode({self._field: self._value}).encode()))
            )
        else:
            raise ConfigurationError(
                f"{self._label}: its key goes into a body, and {request.method} {request.url.path} has none"
            )
        request.extensions[SECRETS] = (self._value,)
        headers = httpx.Headers(request.headers)
        headers.pop("content-length", None)
        headers.setdefault("content-type", _FORM)
        yield httpx.Request(
            request.method, request.url, headers=headers, content=content, extensions=request.extensions
        )


class OAuthAuthentication(httpx.Auth):
    """Access tokens that are refreshed while requests go on."""

    def __init__(
        self,
        tokens: TokenSource,
        *,
        label: str,
        refusals: Refusals = Refusals(),  # noqa: B008 - it never changes
    ) -> None:
        """Take tokens from ``tokens``; ``label`` names the connection in errors, ``refusals`` how one is rejected."""
        self._tokens = tokens
        self._label = label
        self._refusals = refusals

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send with the current token; where the provider rejects it before its time, once more with another."""
        token = await self._tokens.current()
        response = yield self._with(request, token)
        if await self._is_rejected(response):
            yield self._with(request, await self._tokens.renewed(token))

    async def _is_rejected(self, response: httpx.Response) -> bool:
        """Whether the token is, by the status, or by an answer of success that says so (Slack)."""
        if not response.is_success:
            return response.status_code == httpx.codes.UNAUTHORIZED
        answer = Answer(response.status_code, response.headers, await response.aread())
        is_fault = self._refusals.is_fault(answer)
        return is_fault and issubclass(self._refusals.read(answer).meaning.kind, AuthenticationError)

    def _with(self, request: httpx.Request, token: Secret) -> httpx.Request:
        request.headers["authorization"] = _sendable(f"Bearer {token.reveal()}", self._label)
        request.extensions[SECRETS] = (token.reveal(),)
        return request


def fixed_authentication(
    kind: str,
    credentials: Mapping[str, Secret],
    fields: Sequence[str],
    *,
    header: str = "authorization",
    place: KeyPlace = "header",
    parameter: str = "api_key",
    label: str,
) -> httpx.Auth:
    """How a kind of credential is sent that needs no refreshing.

    Args:
        kind: ``api_key``, ``bearer_token`` or ``basic_auth`` (:class:`unified.kit.declarations.CredentialKind`).
        credentials: Secrets by field.
        fields: Which of them, in order: the key or token, or user and password.
        header: The header of an API key. In ``authorization`` it goes as a bearer token, elsewhere by itself.
        place: Where an API key goes: into that header, as the user of basic authentication with an empty password, or
            into the query or the body.
        parameter: The key's name there.
        label: Names the connection in errors.

    Raises:
        ConfigurationError: If the kind can't be sent, or no header can carry the secret.
    """
    secrets = [credentials[field].reveal() for field in fields]
    if kind == "api_key" and place == "basic_user" and len(secrets) == 1:
        return basic_authentication(secrets[0], "", label=label)
    if kind == "api_key" and place == "query" and len(secrets) == 1:
        return QueryAuthentication(parameter, secrets[0])
    if kind == "api_key" and place == "body" and len(secrets) == 1:
        return BodyAuthentication(parameter, secrets[0], label=label)
    if kind == "basic_auth" and len(secrets) == 2:  # noqa: PLR2004 - user and password
        return basic_authentication(*secrets, label=label)
    if kind in ("api_key", "bearer_token") and len(secrets) == 1:
        is_bearer = kind == "bearer_token" or header.lower() == "authorization"
        value = f"Bearer {secrets[0]}" if is_bearer else secrets[0]
        name = "authorization" if is_bearer else header
        return HeaderAuthentication(name, value, secrets=secrets, label=label)
    raise ConfigurationError(f"{label}: {len(secrets)} secret(s) of kind {kind} can't be sent")


def basic_authentication(user: str, password: str, *, label: str) -> HeaderAuthentication:
    """User and password (RFC 7617). Either may be the secret: some systems take their key as the user.

    Raises:
        ConfigurationError: If the user has a colon, which would end it.
    """
    if ":" in user:
        # RFC 7617 section 2: the first colon ends the user.
        raise ConfigurationError(f"{label}: a user with a colon can't be sent by basic authentication")
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    secrets = [encoded, user, password]
    return HeaderAuthentication("authorization", f"Basic {encoded}", secrets=secrets, label=label)


def _sendable(value: str, label: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ConfigurationError(
            f"{label}: its credential holds characters that no HTTP header can carry; add it again"
        )
    return value
