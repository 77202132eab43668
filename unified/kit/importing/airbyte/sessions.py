"""The login of a manifest's session tokens as a document's, or :class:`Unconvertible` with the reason."""

from dataclasses import dataclass
from typing import Any

from unified.kit.importing.airbyte.addresses import address
from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, as_secrets
from unified.kit.importing.airbyte.requests import fixed_headers, said_body

Said = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """A login.

    Attributes:
        said: Its part of the document's `auth`: path, body, and where the token is.
        secrets: The settings that it sends, as the manifest calls them, in order.
    """

    said: Said
    secrets: tuple[str, ...]


def login_of(found: Said, base_url: str, translator: Translator) -> Login:
    """The login of a ``SessionTokenAuthenticator``.

    Args:
        found: The authenticator.
        base_url: Where the stream's requests go; the login must go there too.
        translator: Of the document.
    """
    login = found.get("login_requester")
    login = login if isinstance(login, dict) else {}
    if reason := _odd(found, login):
        raise Unconvertible(f"SessionTokenAuthenticator: {reason}")
    where, _, path = address(login, translator)
    if where != base_url or "{{" in path:
        raise Unconvertible(
            "SessionTokenAuthenticator: its login is at another host, or at a path of a setting"
        )
    if fixed_headers(login, translator):
        raise Unconvertible("SessionTokenAuthenticator: its login needs headers of its own")
    kind, fields = said_body(login)
    if not isinstance(fields, dict) or not fields:
        raise Unconvertible("SessionTokenAuthenticator: its login does not send fields")
    body: dict[str, str] = {}
    secrets: list[str] = []
    for key, value in fields.items():
        body[key], names = as_secrets(value)
        secrets += names
    if not secrets:
        raise Unconvertible("SessionTokenAuthenticator: its login sends no setting that proves who asks")
    said: Said = {"path": path, "body": body, "token": found["session_token_path"]}
    return Login({**said, "form": True} if kind == "form" else said, tuple(dict.fromkeys(secrets)))


def _odd(found: Said, login: Said) -> str | None:
    """What of it a document's login does not do."""
    signed, decoder, keys = login.get("authenticator"), found.get("decoder"), found.get("session_token_path")
    if isinstance(signed, dict) and signed.get("type") not in (None, "NoAuth"):
        return "its login is signed itself"
    if isinstance(decoder, dict) and decoder.get("type") != "JsonDecoder":
        return "its login is not answered in JSON"
    if str(login.get("http_method", "GET")).upper() != "POST" or login.get("request_parameters"):
        return "its login is not a POST without a query"
    if not isinstance(keys, list) or not keys:
        return "it does not say where the token is"
    return None
