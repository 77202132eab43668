"""A manifest's authenticator as a document's, or :class:`Unconvertible` with the reason."""

import re
from collections.abc import Mapping
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, only_setting
from unified.kit.importing.airbyte.manifest import PARAMETERS
from unified.kit.importing.airbyte.sessions import login_of
from unified.kit.importing.names import plain, slug

Said = dict[str, Any]

_NO_SECRETS = frozenset((PARAMETERS, "type", "token_refresh_endpoint", "url", "url_base", "path"))


def secret_names(authenticator: Any) -> frozenset[str]:
    """The settings that an authenticator is made of, at any depth: they are secrets."""
    if isinstance(authenticator, str):
        return frozenset(re.findall(r"""config(?:\[['"]|\.get\(['"]|\.)([A-Za-z_]\w*)""", authenticator))
    if isinstance(authenticator, Mapping):
        of = [one for key, one in authenticator.items() if key not in _NO_SECRETS]
        return frozenset().union(*map(secret_names, of))
    if isinstance(authenticator, list):
        return frozenset().union(*map(secret_names, authenticator))
    return frozenset()


def auth(
    found: Any, spec: Mapping[str, Any], base_url: str, translator: Translator
) -> tuple[Said, list[str]]:
    """The authenticator, and what to look at.

    Args:
        found: As the manifest says it.
        spec: What a connection says of itself, by name.
        base_url: Where the stream's requests go.
        translator: Of the document.
    """
    if not isinstance(found, dict) or found.get("type") in (None, "NoAuth"):
        return {"kind": "none"}, []
    match found["type"]:
        case "BearerAuthenticator":
            return {"kind": "bearer", "secret": _secret(found.get("api_token"), spec)}, []
        case "ApiKeyAuthenticator":
            return _key(found, spec), []
        case "BasicHttpAuthenticator":
            return _basic(found, spec), []
        case "OAuthAuthenticator":
            return _oauth(found), []
        case "SelectiveAuthenticator":
            return _choice(found, spec, base_url, translator)
        case "SessionTokenAuthenticator":
            login = login_of(found, base_url, translator)
            made = [_secret(f"{{{{ config['{name}'] }}}}", spec) for name in login.secrets]
            return {"kind": "session", "secrets": made, **login.said, **_sent(found)}, []
        case other:
            raise Unconvertible(f"{other}: documents have no such authenticator")


def _secret(said: Any, spec: Mapping[str, Any]) -> Said:
    name = only_setting(said)
    if name is None:
        raise Unconvertible("the authenticator makes its secret of more than one setting")
    about = spec.get(name)
    about = about if isinstance(about, Mapping) else {}
    label = str(about.get("title") or name.replace("_", " "))[:100]
    hint = plain(str(about.get("description") or "")) or "As the provider shows it."
    return {"name": slug(name), "label": label, "hint": hint}


def _key(found: Said, spec: Mapping[str, Any]) -> Said:
    token = found.get("api_token") or ""
    name, place = _placed(found.get("inject_into"), found.get("header"))
    parts = re.match(r"\s*([^{]*?)(\{\{.*\}\})\s*$", token, re.DOTALL) if isinstance(token, str) else None
    if parts is None:
        raise Unconvertible("the authenticator has no key of a setting")
    prefix, secret = parts[1], _secret(parts[2], spec)
    is_usual = name.casefold() == "authorization"
    if prefix.rstrip() == "Bearer" and place == "header" and is_usual:
        return {"kind": "bearer", "secret": secret}
    said = {"kind": "key", "secret": secret, "place": place, "name": name}
    if place == "header" and (prefix or is_usual):
        return {**said, "prefix": prefix}
    if prefix:
        raise Unconvertible("the authenticator's key has a prefix, and does not go into a header")
    return said


def _placed(into: Any, header: Any = None) -> tuple[str, str]:
    """The header, parameter or field that a key goes into, and which of them it is."""
    option = into if isinstance(into, Mapping) else {}
    name = option.get("field_name") or header or "Authorization"
    place = {"request_parameter": "query", "header": "header", "body_json": "body"}.get(
        option.get("inject_into", "header")
    )
    if not isinstance(name, str) or "{{" in name or place is None or option.get("field_path"):
        raise Unconvertible("the authenticator's header or parameter has no fixed name")
    return name, place


def _basic(found: Said, spec: Mapping[str, Any]) -> Said:
    user, password = found.get("username") or "", found.get("password") or ""
    if only_setting(user) is None:
        raise Unconvertible("BasicHttpAuthenticator: its user is not a setting of its own")
    if password == "":
        return {"kind": "key", "secret": _secret(user, spec), "place": "basic_user"}
    if only_setting(password) is None:
        raise Unconvertible("BasicHttpAuthenticator: its password is not a setting of its own")
    return {"kind": "basic", "user": _secret(user, spec), "password": _secret(password, spec)}


def _oauth(found: Said) -> Said:
    if found.get("grant_type", "refresh_token") != "client_credentials":
        raise Unconvertible("OAuthAuthenticator: the manifest does not say where a person consents")
    for odd in ("refresh_request_body", "refresh_request_headers", "profile_assertion"):
        if found.get(odd):
            raise Unconvertible(f"OAuthAuthenticator: {odd} is not carried over")
    url = found.get("token_refresh_endpoint")
    if not isinstance(url, str) or "{{" in url:
        raise Unconvertible("OAuthAuthenticator: the token's address is not fixed")
    scopes = found.get("scopes") or []
    said = {"kind": "oauth", "token_url": url, "grants": ["client_credentials"],
            "client_authentication": "client_secret_post"}  # fmt: skip
    return {**said, "scopes": scopes} if isinstance(scopes, list) and scopes else said


def _sent(found: Said) -> Said:
    """How the token of a session goes into requests."""
    said = found.get("request_authentication")
    said = said if isinstance(said, dict) else {}
    if said.get("type") == "Bearer":
        return {}
    name, place = _placed(said.get("inject_into"))
    if place != "header":
        raise Unconvertible("SessionTokenAuthenticator: its token does not go into a header")
    return {"header": name, "prefix": ""}


def _choice(
    found: Said, spec: Mapping[str, Any], base_url: str, translator: Translator
) -> tuple[Said, list[str]]:
    choices = found.get("authenticators")
    fixed: Said | None = None
    oauth: Said | None = None
    left: list[str] = []
    for name, one in (choices if isinstance(choices, dict) else {}).items():
        try:
            made, _ = auth(one, spec, base_url, translator)
        except Unconvertible:
            left.append(name)
            continue
        if made["kind"] == "oauth" and oauth is None:
            oauth = made
        elif made["kind"] in ("key", "bearer", "basic") and fixed is None:
            fixed = made
        else:
            left.append(name)
    remarks = [f"of the ways to authenticate these are left out: {', '.join(left)}"[:300]] if left else []
    if fixed and oauth:
        return {"kind": "choice", "key": fixed, "oauth": oauth}, remarks
    if fixed or oauth:
        return fixed or oauth or {}, remarks
    raise Unconvertible("SelectiveAuthenticator: none of its choices is one that documents have")
