"""HashiCorp Vault over HTTP: log-ins, requests, refusals. What it is asked: `transit` beside this, and `elsewhere.kv`.

The log-ins are those of https://developer.hashicorp.com/vault/api-docs/auth/approle and …/api-docs/auth/kubernetes, the
statuses those of …/api-docs#http-status-codes.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import stamina

from unified.kit.errors import (
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    UnavailableError,
)
from unified.kit.secrets import Secret
from unified.store.secrets.transit_refusals import refusal
from unified.store.secrets.transit_settings import VaultLogin, VaultSettings

_SECONDS = 3.0  # an answer takes some milliseconds
_ATTEMPTS = 3
_LONGEST_TRY = 8.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Vault:
    """A Vault, as one of its engines is asked through it."""

    def __init__(self, settings: VaultSettings) -> None:
        """Use a Vault; nothing is sent before the first call.

        Raises:
            ConfigurationError: If the address or the certificates can't be used.
        """
        parts = urlsplit(settings.address)
        is_local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not (parts.scheme == "https" or is_local) or not parts.hostname or parts.username:
            msg = "VAULT_ADDR must look like https://vault.example.com:8200; plain http is for this machine only"
            raise ConfigurationError(msg)
        try:
            self._trusted = ssl.create_default_context(cafile=settings.ca_file) if not is_local else False
        except OSError as error:
            msg = f"VAULT_CACERT: {settings.ca_file} holds no certificates that can be read"
            raise ConfigurationError(msg) from error
        self.settings = settings
        self._token = settings.credential if isinstance(settings.credential, Secret) else None

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask Vault, logging in first where that is due. The answer's ``data``, {} where it has none.

        Args:
            method: ``GET`` or ``POST``.
            path: Below ``/v1/``, quoted.
            body: To send as JSON.

        Raises:
            UnavailableError: If Vault is sealed, in trouble or can't be reached, after some attempts.
            PermissionDeniedError: If the token is not valid, or its policy does not allow this.
            NotFoundError: If there is no such namespace, engine or thing.
            RequestRefusedError: If it refuses the request for another reason.
            ProtocolError: If the answer is not what Vault documents.
        """
        is_fresh = self._token is None
        try:
            return await self._send(method, path, body, await self._logged_in())
        except PermissionDeniedError:
            # A token that a log-in gave is valid for a time only.
            if is_fresh or isinstance(self.settings.credential, Secret):
                raise await self._denied(path) from None
        self._token = None
        try:
            return await self._send(method, path, body, await self._logged_in())
        except PermissionDeniedError:
            raise await self._denied(path) from None

    async def _denied(self, path: str) -> PermissionDeniedError:
        """Why permission is denied: the token, or what it may do. Vault's answer is the same for both."""
        try:
            # The default policy lets each valid token look at itself.
            await self._send("GET", "auth/token/lookup-self", None, self._token)
        except PermissionDeniedError:
            why = (
                "the token is not valid or has expired, or it is one without the default policy and its own does "
                f"not allow {path}"
            )
        else:
            why = (
                f"the token is valid, but its policy does not allow {path} (docs/keys.md has the policy), or there "
                f"is no engine at {self.settings.mount}: correct UNIFIED_VAULT_MOUNT or VAULT_NAMESPACE then"
            )
        return PermissionDeniedError(f"{self} denied permission: {why}", status=httpx.codes.FORBIDDEN)

    async def _logged_in(self) -> Secret:
        if self._token is None:
            login = self.settings.credential
            assert isinstance(login, VaultLogin)  # noqa: S101 - a bare token is never dropped
            answer = await self._send(
                "POST", f"auth/{quote(login.mount.strip('/'))}/login", login.fields(), key="auth"
            )
            self._token = Secret(self.text(answer, "client_token"))
        return self._token

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        token: Secret | None = None,
        key: str = "data",
    ) -> dict[str, Any]:
        headers = {"X-Vault-Request": "true"}
        if self.settings.namespace:
            headers["X-Vault-Namespace"] = self.settings.namespace
        if token:
            headers["X-Vault-Token"] = token.reveal()
        async for attempt in stamina.retry_context(
            on=UnavailableError,
            attempts=_ATTEMPTS,
            timeout=_LONGEST_TRY,
            wait_initial=0.2,
            wait_jitter=0.2,
        ):
            with attempt:
                # A client a request: calls are rare, and each may come from another event loop.
                async with httpx.AsyncClient(
                    verify=self._trusted, timeout=_SECONDS, trust_env=False
                ) as client:
                    try:
                        answer = await client.request(
                            method,
                            f"{self.settings.address.rstrip('/')}/v1/{path}",
                            json=body,
                            headers=headers,
                        )
                    except httpx.HTTPError as error:
                        msg = f"{self} can't be reached ({type(error).__name__}); check VAULT_ADDR and the network"
                        raise UnavailableError(msg) from error
                return self._read(answer, key)
        raise AssertionError("unreachable")

    def _read(self, answer: httpx.Response, key: str) -> dict[str, Any]:
        if answer.status_code == httpx.codes.NO_CONTENT:
            return {}
        if not answer.is_success:
            raise refusal(str(self), self.settings, answer)
        try:
            found = answer.json()[key] or {}
        except (ValueError, KeyError, TypeError) as error:
            raise self.unexpected("its JSON") from error
        if not isinstance(found, dict):
            raise self.unexpected("its JSON")
        return found

    def unexpected(self, what: str) -> ProtocolError:
        """The error for an answer that is not ``what`` Vault documents."""
        return ProtocolError(f"{self} did not answer with {what}; does VAULT_ADDR lead to Vault?")

    def text(self, data: Any, name: str) -> str:
        """A text of an answer; raises ProtocolError where it has none of that name."""
        value = data.get(name) if isinstance(data, dict) else None
        if not isinstance(value, str) or not value:
            raise self.unexpected(f"a {name}")
        return value

    def __str__(self) -> str:
        """Where it is, for messages."""
        return f"Vault at {urlsplit(self.settings.address).netloc}"
