"""What an unsuccessful answer of Vault says, as an error of ours. Nothing is sent here.

The texts are those of Vault (https://developer.hashicorp.com/vault/api-docs#http-status-codes) and of OpenBao 2.7.
They are looked at and never repeated: a text may hold what was sent.
"""

import httpx

from unified.kit.errors import (
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RequestRefusedError,
    UnavailableError,
)
from unified.store.secrets.transit_settings import VaultSettings

# 412: a performance standby that has not caught up yet; 429: a quota; 5xx: sealed, standby, in trouble.
_PASSING = {
    412: "has not caught up with its leader yet",
    429: "asks for fewer requests, by a quota of its own",
    472: "is a standby of another datacentre",
    473: "is a standby",
}
_LOG_IN = "/v1/auth/"

_CIPHERTEXT_FAULTS = {
    "too old": "the ciphertext's version is older than the key's min_decryption_version allows",
    "too new": "the key has no such version: it is another key, or was restored from an older backup",
    "invalid ciphertext": "it is not a ciphertext of Vault's",
    "message authentication failed": "the ciphertext was changed, or is of another key",
}


class CiphertextError(RequestRefusedError):
    """A ciphertext does not decrypt under the key."""


class TooLargeError(RequestRefusedError):
    """A request is larger than Vault is set up to take."""


def ciphertext_fault(text: str) -> str:
    """What is wrong with a ciphertext, by Vault's word for it."""
    known = (fault for word, fault in _CIPHERTEXT_FAULTS.items() if word in text)
    return next(known, "it does not decrypt, for a reason that this release does not know")


def refusal(where: str, settings: VaultSettings, answer: httpx.Response) -> ProviderError:
    """The error for an answer.

    Args:
        where: The key as messages name it.
        settings: Where it is.
        answer: With any status but success.
    """
    status, text = answer.status_code, answer.text
    if httpx.codes.is_server_error(status) or status in _PASSING:
        failing = "is sealed; unseal it" if "sealed" in text else f"is not able to answer ({status})"
        return UnavailableError(f"{where} {_PASSING.get(status, failing)}", status=status)
    if "namespace not found" in text:
        return NotFoundError(
            f"{where}: there is no namespace {settings.namespace}; correct VAULT_NAMESPACE", status=status
        )
    if answer.request.url.path.startswith(_LOG_IN) and answer.request.method == "POST":
        return _log_in_refused(where, answer)
    if status == httpx.codes.FORBIDDEN:
        return PermissionDeniedError(f"{where} denied permission", status=status)
    if "no handler for route" in text or "unsupported path" in text:
        msg = (
            f"{where}: there is no transit engine at {settings.mount}; make one with "
            f"`vault secrets enable -path={settings.mount} transit`, or correct UNIFIED_VAULT_MOUNT"
        )
        return NotFoundError(msg, status=status)
    if status == httpx.codes.NOT_FOUND or "key not found" in text:
        msg = (
            f"{where}: there is no such key; make it with `vault write -f {settings.mount}/keys/{settings.key}`, "
            "or correct UNIFIED_VAULT_KEY"
        )
        return NotFoundError(msg, status=status)
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE or "high complexity" in text:
        msg = (
            f"{where} refused the request ({status}): it is larger than Vault is set up to take; raise "
            "max_request_size or max_request_json_strings of its listener"
        )
        return TooLargeError(msg, status=status)
    if any(word in text for word in _CIPHERTEXT_FAULTS):
        return CiphertextError(f"{where} refused the ciphertext: {ciphertext_fault(text)}", status=status)
    return RequestRefusedError(
        f"{where} refused the request ({status}); its audit log has the reason", status=status
    )


def _log_in_refused(where: str, answer: httpx.Response) -> ProviderError:
    """A refused log-in: the role is another one, or the method is not enabled, which OpenBao does not distinguish."""
    mount = answer.request.url.path.removeprefix(_LOG_IN).partition("/")[0]
    msg = (
        f"{where}: the log-in at auth/{mount} was refused ({answer.status_code}): the role or what proves it is not "
        f"valid, or no such auth method is enabled at {mount} (UNIFIED_VAULT_AUTH_MOUNT)"
    )
    return RequestRefusedError(msg, status=answer.status_code)
