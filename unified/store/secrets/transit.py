"""HashiCorp Vault's transit engine over HTTP: one named key, which never leaves Vault.

What is encrypted with it is `unified.store.secrets.vault`'s business. The requests are those of Vault's own
documentation: https://developer.hashicorp.com/vault/api-docs/secret/transit, …/api-docs#http-status-codes
and, for the log-ins, …/api-docs/auth/approle and …/api-docs/auth/kubernetes.
"""

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import stamina

from unified.kit.errors import (
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.secrets import Secret

KUBERNETES_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")

_SECONDS = 3.0  # an answer takes some milliseconds
_ATTEMPTS = 3
_LONGEST_TRY = 8.0
# 412: a performance standby that has not caught up yet; 429: a quota; 5xx: sealed, standby, in trouble.
_PASSING = (412, 429, 472, 473)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """An auth method that gives a token for something else.

    Attributes:
        mount: Where the method is mounted: ``approle``, ``kubernetes``.
        role_id: Of an AppRole; None for Kubernetes.
        secret_id: Of an AppRole.
        kubernetes_role: The role to log in for with the pod's own service account.
    """

    mount: str
    role_id: str | None = None
    secret_id: Secret | None = None
    kubernetes_role: str | None = None

    def fields(self) -> dict[str, str]:
        """What to send.

        Raises:
            ConfigurationError: If the pod's token can't be read.
        """
        if self.kubernetes_role is None:
            fields = {"role_id": self.role_id or ""}
            return fields | ({"secret_id": self.secret_id.reveal()} if self.secret_id else {})
        try:
            return {"role": self.kubernetes_role, "jwt": KUBERNETES_TOKEN.read_text().strip()}
        except OSError as error:
            msg = f"Vault: the service account's token in {KUBERNETES_TOKEN} can't be read: {error.strerror}"
            raise ConfigurationError(msg) from error


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where a key is, and how to be let in.

    Attributes:
        address: ``https://vault.example.com:8200``; plain http only on this machine, as for Vault's agent.
        key: Name of the transit key.
        credential: A token, or a log-in that gives one.
        mount: Where the transit engine is mounted.
        namespace: Of Vault Enterprise.
        ca_file: Certificates to trust instead of the system's.
    """

    address: str
    key: str
    credential: Secret | VaultLogin
    mount: str = "transit"
    namespace: str | None = None
    ca_file: str | None = field(default=None)


class KeyVersions(NamedTuple):
    """The versions of a key that can decrypt.

    Attributes:
        oldest: The first of them.
        latest: The one that encrypts.
    """

    oldest: int
    latest: int


class TransitKey:
    """A key of the transit engine."""

    def __init__(self, settings: VaultSettings) -> None:
        """Use a key; nothing is sent before the first call.

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
        self._settings = settings
        self._token = settings.credential if isinstance(settings.credential, Secret) else None

    async def versions(self) -> KeyVersions:
        """Which versions there are. Raises what every method here does.

        Raises:
            UnavailableError: If Vault is sealed, in trouble or can't be reached, after some attempts.
            PermissionDeniedError: If the token is not valid, or its policy does not allow this.
            NotFoundError: If there is no such key or no engine at that mount.
            RequestRefusedError: If Vault refuses what was sent.
            ProtocolError: If the answer is not what Vault documents.
        """
        data = await self._ask("GET", "keys")
        try:
            return KeyVersions(max(1, int(data["min_decryption_version"])), max(map(int, data["keys"])))
        except (KeyError, ValueError, TypeError) as error:
            raise self._unexpected("the versions of a key") from error

    async def encrypt(self, plaintext: bytes) -> str:
        """Encrypt under the latest version; the ciphertext names it, as in ``vault:v3:…``."""
        data = await self._ask("POST", "encrypt", {"plaintext": base64.b64encode(plaintext).decode()})
        return self._text(data, "ciphertext")

    async def decrypt(self, ciphertext: str) -> bytes:
        """Decrypt under the version that the ciphertext names."""
        data = await self._ask("POST", "decrypt", {"ciphertext": ciphertext})
        try:
            return base64.b64decode(self._text(data, "plaintext"), validate=True)
        except binascii.Error as error:
            raise self._unexpected("a plaintext in base64") from error

    async def rewrap(self, ciphertexts: Sequence[str]) -> list[str]:
        """Encrypt ciphertexts anew under the latest version, inside Vault, in one request."""
        if not ciphertexts:
            return []
        batch = [{"ciphertext": ciphertext} for ciphertext in ciphertexts]
        results = (await self._ask("POST", "rewrap", {"batch_input": batch})).get("batch_results")
        if not isinstance(results, list) or len(results) != len(ciphertexts):
            raise self._unexpected("one result for each ciphertext")
        if any(isinstance(result, dict) and result.get("error") for result in results):
            raise self._refused(400, "")
        return [self._text(result, "ciphertext") for result in results]

    async def rotate(self) -> None:
        """Make a new version, which encrypts from now on."""
        await self._ask("POST", "keys", {}, "/rotate")

    async def set_oldest(self, version: int) -> None:
        """Let nothing older than a version decrypt any more. Vault keeps the older ones: it can be undone."""
        await self._ask("POST", "keys", {"min_decryption_version": version}, "/config")

    async def _ask(
        self, method: str, action: str, body: Mapping[str, Any] | None = None, suffix: str = ""
    ) -> dict[str, Any]:
        """Ask the engine, logging in first where that is due. The answer's ``data``, {} where it has none."""
        mount, key = quote(self._settings.mount.strip("/")), quote(self._settings.key, safe="")
        path = f"{mount}/{action}/{key}{suffix}"
        is_fresh = self._token is None
        try:
            return await self._send(method, path, body, await self._logged_in())
        except PermissionDeniedError:
            # A token that a log-in gave is valid for a time only.
            if is_fresh or isinstance(self._settings.credential, Secret):
                raise
            self._token = None
            return await self._send(method, path, body, await self._logged_in())

    async def _logged_in(self) -> Secret:
        if self._token is None:
            login = self._settings.credential
            assert isinstance(login, VaultLogin)  # noqa: S101 - a bare token is never dropped
            answer = await self._send(
                "POST", f"auth/{quote(login.mount.strip('/'))}/login", login.fields(), key="auth"
            )
            self._token = Secret(self._text(answer, "client_token"))
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
        if self._settings.namespace:
            headers["X-Vault-Namespace"] = self._settings.namespace
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
                            f"{self._settings.address.rstrip('/')}/v1/{path}",
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
            raise self._refused(answer.status_code, answer.text)
        try:
            found = answer.json()[key] or {}
        except (ValueError, KeyError, TypeError) as error:
            raise self._unexpected("its JSON") from error
        if not isinstance(found, dict):
            raise self._unexpected("its JSON")
        return found

    def _refused(self, status: int, text: str) -> ProviderError:
        """An error of ours for one of Vault's. Its text is looked at and not repeated: it may hold what was sent."""
        if status == httpx.codes.FORBIDDEN:
            msg = (
                f"{self} denied permission: the token is not valid or has expired, or its policy does not allow "
                "this (docs/keys.md has the policy)"
            )
            return PermissionDeniedError(msg, status=status)
        if status == httpx.codes.NOT_FOUND or "key not found" in text:
            msg = (
                f"{self}: there is no such key, or no transit engine at that mount; make it with "
                f"`vault write -f {self._settings.mount}/keys/{self._settings.key}`, or correct UNIFIED_VAULT_KEY"
            )
            return NotFoundError(msg, status=status)
        if httpx.codes.is_server_error(status) or status in _PASSING:
            what = "is sealed; unseal it" if "sealed" in text else f"is not able to answer ({status})"
            return UnavailableError(f"{self} {what}", status=status)
        why = (
            "the ciphertext's version is older than its min_decryption_version allows"
            if "too old" in text
            else "the ciphertext was changed, or is of another key"
        )
        return RequestRefusedError(f"{self} refused the request ({status}): {why}", status=status)

    def _unexpected(self, what: str) -> ProtocolError:
        return ProtocolError(f"{self} did not answer with {what}; does VAULT_ADDR lead to Vault?")

    def _text(self, data: Any, name: str) -> str:
        value = data.get(name) if isinstance(data, dict) else None
        if not isinstance(value, str) or not value:
            raise self._unexpected(f"a {name}")
        return value

    def __str__(self) -> str:
        """Where the key is, for messages."""
        host = urlsplit(self._settings.address).netloc
        return f"Vault at {host} ({self._settings.mount}/{self._settings.key})"
