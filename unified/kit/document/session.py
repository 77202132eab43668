"""Session tokens: a request proves who asks, and its answer holds a token for the others until that is rejected."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import msgspec

from unified.kit.document.auth import LOGIN_SCOPE, KeyAuth, SessionAuth
from unified.kit.errors import AuthenticationError, ConfigurationError, ProtocolError, UnavailableError
from unified.kit.http.authentication import ANSWERS_SECRET, SECRETS, HeaderAuthentication
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.operators import text
from unified.kit.mapping.refusals import Refused
from unified.kit.reading.paging import within
from unified.kit.secrets import Secret


class SessionAuthentication(httpx.Auth):
    """Logs in before the first request, and once more where a token is rejected."""

    def __init__(
        self,
        said: SessionAuth,
        base_url: str,
        credentials: Mapping[str, Secret],
        settings: Mapping[str, str],
        label: str,
    ) -> None:
        """Log in below a connection's ``base_url``; ``label`` names the connection in errors.

        Raises:
            ConfigurationError: If the credential does not fit what the document sends.
        """
        self._said = said
        self._label = label
        self._url = f"{base_url.rstrip('/')}{said.path}"
        self._secrets = tuple(secret.reveal() for secret in credentials.values())
        scope = {
            "secrets": {name: secret.reveal() for name, secret in credentials.items()},
            "settings": dict(settings),
        }
        try:
            self._body = {
                name: text(compile_template(value, LOGIN_SCOPE)(scope)) for name, value in said.body.items()
            }
        except Refused:
            raise ConfigurationError(
                f"{label}: what its document sends to log in can't be filled in"
            ) from None
        self._token: str | None = None
        self._turn = asyncio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send with the token; where it is rejected, once more with a new one."""
        for is_last in (False, True):
            async with self._turn:  # one logs in, the others wait for its token
                token = self._token
                if token is None:
                    token = self._token = await self._read((yield self._login(request)))
            response = yield self._with(request, token)
            if response.status_code != httpx.codes.UNAUTHORIZED or is_last:
                return
            if self._token == token:
                self._token = None

    def _login(self, request: httpx.Request) -> httpx.Request:
        kind = {"data": self._body} if self._said.form else {"json": self._body}
        return httpx.Request(
            "POST",
            self._url,
            headers={name: request.headers[name] for name in ("user-agent", "accept", "accept-encoding")},
            extensions={**request.extensions, SECRETS: self._secrets, ANSWERS_SECRET: True},
            **kind,  # type: ignore[arg-type]
        )

    async def _read(self, response: httpx.Response) -> str:
        status, what = response.status_code, f"{self._label}: POST {self._said.path}"
        if httpx.codes.is_server_error(status) or status == httpx.codes.TOO_MANY_REQUESTS:
            raise UnavailableError(f"{what} answered {status}. The next run tries it again", status=status)
        if not response.is_success:
            raise AuthenticationError(
                f"{what} answered {status}. The credential is wrong or revoked; add a valid one",
                status=status,
            )
        try:
            found = within(msgspec.Raw(await response.aread()), self._said.token)
            return str(msgspec.json.decode(found or b"", type=str | int))
        except msgspec.MsgspecError:
            place = ".".join(self._said.token)
            raise ProtocolError(f"{what} answered without a token at {place}", status=status) from None

    def _with(self, request: httpx.Request, token: str) -> httpx.Request:
        value = f"{self._said.prefix}{token}"
        if not (value.isascii() and value.isprintable()):
            raise ProtocolError(
                f"{self._label}: POST {self._said.path} answered a token that no header can carry"
            )
        request.headers[self._said.header] = value
        request.extensions[SECRETS] = (token, value, *self._secrets)
        return request


def prefixed(said: KeyAuth, credentials: Mapping[str, Any], label: str) -> HeaderAuthentication:
    """A key in a header, after the document's own prefix.

    Raises:
        ConfigurationError: If no header can carry it.
    """
    key = credentials[said.secret.name].reveal()
    return HeaderAuthentication(said.name, f"{said.prefix}{key}", secrets=[key], label=label)
