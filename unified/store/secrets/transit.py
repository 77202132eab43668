"""HashiCorp Vault's transit engine over HTTP: one named key, which never leaves Vault.

What is encrypted with it is `unified.store.secrets.vault`'s business. The requests are those of Vault's own
documentation: https://developer.hashicorp.com/vault/api-docs/secret/transit, …/api-docs#http-status-codes
and, for the log-ins, …/api-docs/auth/approle and …/api-docs/auth/kubernetes.
"""

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
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
from unified.store.secrets.transit_refusals import CiphertextError, TooLargeError, ciphertext_fault, refusal
from unified.store.secrets.transit_settings import VaultLogin, VaultSettings

_SECONDS = 3.0  # an answer takes some milliseconds
_ATTEMPTS = 3
_LONGEST_TRY = 8.0
# OpenBao takes requests with up to 1,000 texts, two of which are an item of a batch and its name.
_BATCH = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
            NotFoundError: If there is no such namespace, engine or key; the message says which.
            CiphertextError: If Vault does not decrypt what was sent.
            RequestRefusedError: If it refuses the request for another reason.
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
        """Encrypt ciphertexts anew under the latest version, inside Vault.

        They go in requests that Vault takes, in smaller ones where its limits were lowered.

        Raises:
            CiphertextError: If Vault refuses one of them; it says how many of how many.
        """
        renewed: list[str] = []
        size = _BATCH
        while len(renewed) < len(ciphertexts):
            some = ciphertexts[len(renewed) : len(renewed) + size]
            try:
                renewed += await self._rewrap(some)
            except TooLargeError:
                if size == 1:
                    raise
                size = max(1, min(size, len(some)) // 2)
        return renewed

    async def _rewrap(self, ciphertexts: Sequence[str]) -> list[str]:
        batch = [{"ciphertext": ciphertext} for ciphertext in ciphertexts]
        results = (await self._ask("POST", "rewrap", {"batch_input": batch})).get("batch_results")
        if not isinstance(results, list) or len(results) != len(ciphertexts):
            raise self._unexpected("one result for each ciphertext")
        errors = [
            str(result["error"]) for result in results if isinstance(result, dict) and result.get("error")
        ]
        if errors:
            msg = f"{self} refused {len(errors)} of {len(results)} ciphertexts: {ciphertext_fault(errors[0])}"
            raise CiphertextError(msg, status=400)
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
                f"is no engine at {self._settings.mount}: correct UNIFIED_VAULT_MOUNT or VAULT_NAMESPACE then"
            )
        return PermissionDeniedError(f"{self} denied permission: {why}", status=httpx.codes.FORBIDDEN)

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
            raise refusal(str(self), self._settings, answer)
        try:
            found = answer.json()[key] or {}
        except (ValueError, KeyError, TypeError) as error:
            raise self._unexpected("its JSON") from error
        if not isinstance(found, dict):
            raise self._unexpected("its JSON")
        return found

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
