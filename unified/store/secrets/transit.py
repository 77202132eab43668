"""HashiCorp Vault's transit engine over HTTP: one named key, which never leaves Vault.

What is encrypted with it is `unified.store.secrets.vault`'s business, how it is sent
`unified.store.secrets.vault_client`'s. The requests are those of Vault's own documentation:
https://developer.hashicorp.com/vault/api-docs/secret/transit.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from unified.store.secrets.transit_refusals import CiphertextError, TooLargeError, ciphertext_fault
from unified.store.secrets.vault_client import Vault

# OpenBao takes requests with up to 1,000 texts, two of which are an item of a batch and its name.
_BATCH = 200


class KeyVersions(NamedTuple):
    """The versions of a key that can decrypt.

    Attributes:
        oldest: The first of them.
        latest: The one that encrypts.
    """

    oldest: int
    latest: int


class TransitKey(Vault):
    """A key of the transit engine."""

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
            raise self.unexpected("the versions of a key") from error

    async def encrypt(self, plaintext: bytes) -> str:
        """Encrypt under the latest version; the ciphertext names it, as in ``vault:v3:…``."""
        data = await self._ask("POST", "encrypt", {"plaintext": base64.b64encode(plaintext).decode()})
        return self.text(data, "ciphertext")

    async def decrypt(self, ciphertext: str) -> bytes:
        """Decrypt under the version that the ciphertext names."""
        data = await self._ask("POST", "decrypt", {"ciphertext": ciphertext})
        try:
            return base64.b64decode(self.text(data, "plaintext"), validate=True)
        except binascii.Error as error:
            raise self.unexpected("a plaintext in base64") from error

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
            raise self.unexpected("one result for each ciphertext")
        errors = [
            str(result["error"]) for result in results if isinstance(result, dict) and result.get("error")
        ]
        if errors:
            msg = f"{self} refused {len(errors)} of {len(results)} ciphertexts: {ciphertext_fault(errors[0])}"
            raise CiphertextError(msg, status=400)
        return [self.text(result, "ciphertext") for result in results]

    async def rotate(self) -> None:
        """Make a new version, which encrypts from now on."""
        await self._ask("POST", "keys", {}, "/rotate")

    async def set_oldest(self, version: int) -> None:
        """Let nothing older than a version decrypt any more. Vault keeps the older ones: it can be undone."""
        await self._ask("POST", "keys", {"min_decryption_version": version}, "/config")

    async def _ask(
        self, method: str, action: str, body: Mapping[str, Any] | None = None, suffix: str = ""
    ) -> dict[str, Any]:
        """Ask the engine of the key, as :meth:`request` does."""
        mount, key = quote(self.settings.mount.strip("/")), quote(self.settings.key, safe="")
        return await self.request(method, f"{mount}/{action}/{key}{suffix}", body)

    def __str__(self) -> str:
        """Where the key is, for messages."""
        return f"{super().__str__()} ({self.settings.mount}/{self.settings.key})"
