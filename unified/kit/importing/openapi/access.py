"""To which host requests go, with which settings in it, and how they are signed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from unified.kit.document.source import DocumentError
from unified.kit.importing.names import plain, slug
from unified.kit.importing.openapi.spec import Spec

Said = dict[str, Any]

_SERVER = re.compile(r"https://([^/?#]+)(/[^?#]*)?")
_VARIABLE = re.compile(r"\{([^{}]+)\}")
_HINT = "As the provider shows it."


def server(spec: Spec) -> tuple[Said, list[str]]:
    """The parts ``hosts``, ``base_url`` and ``settings`` of a document, and what to look at.

    Raises:
        DocumentError: If the file names no host that requests can go to.
    """
    servers = spec.items(spec.whole.get("servers"))
    remarks = [f"the first of {len(servers)} servers is taken"] if len(servers) > 1 else []
    first = servers[0] if servers else {}
    variables = spec.object(first.get("variables"))
    settings: Said = {}

    def filled(match: re.Match[str]) -> str:
        about = spec.object(variables.get(match[1]))
        default = str(about.get("default") or "")
        if match.start() != len("https://"):
            return default  # only the first part of a host may be a setting
        name = slug(match[1])
        settings[name] = {
            "description": plain(str(about.get("description") or "")) or "As the provider names it."
        }
        return f"{{{{ settings.{name} }}}}"

    url = _VARIABLE.sub(filled, str(first.get("url") or "")).rstrip("/")
    whole = _SERVER.fullmatch(url)
    if whole is None:
        raise DocumentError(
            f"{spec.name}: its first server is not an https:// address; write `servers` with the API's address into it"
        )
    host = re.sub(r"^.*\}\}[^.]*\.", "*.", whole[1]).lower()
    if "{{" in host:
        raise DocumentError(
            f"{spec.name}: a variable names the whole host; write the API's host into `servers`"
        )
    said: Said = {"hosts": [host.partition(":")[0]], "base_url": url}
    return said | ({"settings": settings} if settings else {}), remarks


def auth(spec: Spec) -> tuple[Said, list[str]]:
    """The part ``auth`` of a document, and what to look at."""
    components = spec.object(spec.whole.get("components"))
    schemes = spec.object(components.get("securitySchemes"))
    fixed: Said | None = None
    oauth: Said | None = None
    left: list[str] = []
    for name in _named(spec, schemes):
        made = _scheme(spec, spec.object(schemes.get(name)))
        if made is None:
            left.append(name)
        elif made["kind"] == "oauth":
            oauth = oauth or made
        else:
            fixed = fixed or made
    remarks = [f"no document has the security scheme {name!r}" for name in left[:5]]
    if fixed and fixed.get("name", "").lower() == "authorization":
        remarks.append("the key goes whole into the header `Authorization`: does it need a word before it?")
    if fixed and oauth:
        return {"kind": "choice", "key": fixed, "oauth": oauth}, remarks
    if fixed or oauth:
        return fixed or oauth or {}, remarks
    return {"kind": "none"}, [*remarks, "no way to authenticate was found: is the API open to everybody?"]


def _named(spec: Spec, schemes: Mapping[str, Any]) -> Iterator[str]:
    """The schemes that the API asks for first, then all others."""
    first = [name for one in spec.items(spec.whole.get("security")) for name in one if name in schemes]
    yield from dict.fromkeys([*first, *schemes])


def _scheme(spec: Spec, said: Mapping[str, Any]) -> Said | None:
    hint = plain(str(said.get("description") or "")) or _HINT
    match (said.get("type"), str(said.get("scheme", "")).lower(), said.get("in")):
        case ("http", "bearer", _):
            return {"kind": "bearer", "secret": {"name": "api_key", "label": "Access token", "hint": hint}}
        case ("http", "basic", _):
            user = {"name": "username", "label": "User", "hint": hint}
            return {
                "kind": "basic",
                "user": user,
                "password": {"name": "password", "label": "Password", "hint": hint},
            }
        case ("apiKey", _, "header" | "query" as place):
            secret = {"name": "api_key", "label": "API key", "hint": hint}
            return {"kind": "key", "secret": secret, "place": place, "name": str(said.get("name", ""))}
        case ("oauth2", _, _):
            return _oauth(spec, spec.object(said.get("flows")))
    return None


def _oauth(spec: Spec, flows: Mapping[str, Any]) -> Said | None:
    for flow, grant in (
        ("authorizationCode", "authorization_code"),
        ("clientCredentials", "client_credentials"),
    ):
        said = spec.object(flows.get(flow))
        token_url = said.get("tokenUrl")
        if not isinstance(token_url, str) or not token_url.startswith("https://"):
            continue
        made: Said = {"kind": "oauth", "token_url": token_url, "grants": [grant]}
        if grant == "authorization_code":
            made["authorize_url"] = str(said.get("authorizationUrl", ""))
        scopes = [str(scope) for scope in spec.object(said.get("scopes"))]
        return made | ({"scopes": scopes[:100]} if scopes else {})
    return None


def hosts_of(said: Said) -> list[str]:
    """The hosts that an app's secret or a code goes to."""
    oauth = said.get("oauth") or said
    found = [
        re.match(r"https://([^/:?#]+)", str(oauth.get(key, ""))) for key in ("token_url", "authorize_url")
    ]
    return [match[1].lower() for match in found if match]
