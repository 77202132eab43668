"""A manifest's authenticator, paginator, cursor and partitions as a document's.

Each function gives the document's part, or raises :class:`Unconvertible` with the reason.
"""

import re
from collections.abc import Mapping
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, keys_of, only_setting
from unified.kit.importing.airbyte.manifest import PARAMETERS
from unified.kit.importing.names import plain, slug

Said = dict[str, Any]

_FORMATS = {"%s": "epoch", "%ms": "epoch_ms", "%Y-%m-%d": "date"}
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def secret_names(authenticator: Any) -> frozenset[str]:
    """The settings that an authenticator is made of, at any depth: they are secrets."""
    if isinstance(authenticator, str):
        return frozenset(re.findall(r"""config(?:\[['"]|\.get\(['"]|\.)([A-Za-z_]\w*)""", authenticator))
    if isinstance(authenticator, Mapping):
        of = [
            one
            for key, one in authenticator.items()
            if key not in (PARAMETERS, "type", "token_refresh_endpoint")
        ]
        return frozenset().union(*map(secret_names, of))
    if isinstance(authenticator, list):
        return frozenset().union(*map(secret_names, authenticator))
    return frozenset()


def auth(found: Any, spec: Mapping[str, Any]) -> tuple[Said, list[str]]:
    """The authenticator, and what to look at."""
    if not isinstance(found, dict) or found.get("type") in (None, "NoAuth"):
        return {"kind": "none"}, []
    match found["type"]:
        case "BearerAuthenticator":
            return {"kind": "bearer", "secret": _secret(found.get("api_token"), spec)}, []
        case "ApiKeyAuthenticator":
            return _key(found, spec)
        case "BasicHttpAuthenticator":
            return _basic(found, spec), []
        case "OAuthAuthenticator":
            return _oauth(found), []
        case "SelectiveAuthenticator":
            return _choice(found, spec)
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


def _key(found: Said, spec: Mapping[str, Any]) -> tuple[Said, list[str]]:
    token = found.get("api_token") or ""
    into = found.get("inject_into")
    option = into if isinstance(into, Mapping) else {}
    name = option.get("field_name") or found.get("header") or "Authorization"
    if not isinstance(name, str) or "{{" in name:
        raise Unconvertible("the authenticator's header or parameter has no fixed name")
    place = {"request_parameter": "query", "header": "header"}.get(option.get("inject_into", "header"))
    if place is None:
        raise Unconvertible("the authenticator writes its key into the body")
    prefix = re.match(r"\s*([^{]*?)\s*(\{\{.*\}\})\s*$", token, re.DOTALL) if isinstance(token, str) else None
    if prefix is None:
        raise Unconvertible("the authenticator has no key of a setting")
    secret = _secret(prefix[2], spec)
    if prefix[1] == "Bearer" and place == "header" and name.casefold() == "authorization":
        return {"kind": "bearer", "secret": secret}, []
    remarks = []
    if prefix[1]:
        secret["hint"] = f"With its prefix: {prefix[1]} and the key. {secret['hint']}"[:500]
        remarks.append(f"the key is entered with the prefix {prefix[1]!r}")
    return {"kind": "key", "secret": secret, "place": place, "name": name}, remarks


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


def _choice(found: Said, spec: Mapping[str, Any]) -> tuple[Said, list[str]]:
    choices = found.get("authenticators")
    fixed: Said | None = None
    oauth: Said | None = None
    left: list[str] = []
    for name, one in (choices if isinstance(choices, dict) else {}).items():
        try:
            made, _ = auth(one, spec)
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


def paging(found: Any, parameters: Said) -> tuple[Said, list[str]]:
    """The paginator, and what to look at; a page's size is written into ``parameters`` where pages do not count."""
    if (
        not isinstance(found, dict)
        or found.get("type") == "NoPagination"
        or not found.get("pagination_strategy")
    ):
        return {"kind": "none"}, []
    strategy = found["pagination_strategy"]
    into = found.get("page_token_option")
    into = into if isinstance(into, dict) else {}
    size_option = found.get("page_size_option")
    size_parameter = size_option.get("field_name") if isinstance(size_option, dict) else None
    size = _whole(strategy.get("page_size")) if isinstance(strategy, dict) else None
    kind = strategy.get("type") if isinstance(strategy, dict) else None
    if kind in ("PageIncrement", "OffsetIncrement"):
        if size is None:
            raise Unconvertible(f"{kind}: its pages have no fixed size, by which the last one is known")
        said = {
            "kind": "page" if kind == "PageIncrement" else "offset",
            "parameter": _into(into),
            "size": size,
        }
        if kind == "PageIncrement":
            said["first"] = _whole(strategy.get("start_from_page")) or 0
        return {**said, **({"size_parameter": size_parameter} if size_parameter else {})}, []
    if kind != "CursorPagination":
        raise Unconvertible(f"{kind}: documents have no such pages")
    if size is not None and isinstance(size_parameter, str):
        parameters.setdefault(size_parameter, str(size))
    return _cursor(strategy, into, size)


def _cursor(strategy: Said, into: Said, size: int | None) -> tuple[Said, list[str]]:
    value, stop = strategy.get("cursor_value"), strategy.get("stop_condition")
    more = keys_of(re.sub(r"\{\{\s*not\s+", "{{ ", stop), "response") if isinstance(stop, str) else None
    if stop and more is None:
        raise Unconvertible("CursorPagination: its stop_condition is more than that something is missing")
    is_link = into.get("type") == "RequestPath"
    if isinstance(value, str) and re.search(
        r"""headers(?:\.|\[['"]|\.get\(['"])link""", value, re.IGNORECASE
    ):
        if not is_link:
            raise Unconvertible("CursorPagination: a Link header is followed as a link alone")
        return {"kind": "link_header"}, []
    if token := keys_of(value, "response"):
        remarks = (
            [f"pages end where {'.'.join(token)} is missing, not by {'.'.join(more)}"]
            if more and more != token
            else []
        )
        if is_link:
            return {"kind": "next_link", "link": list(token)}, remarks
        return {"kind": "token", "parameter": _into(into), "token": list(token)}, remarks
    if last := keys_of(value, "last_record"):
        said: Said = {"kind": "after_id", "parameter": _into(into), "id": list(last)}
        if more:
            return {**said, "more": list(more)}, []
        if size is not None:
            return {**said, "size": size}, []
    raise Unconvertible(
        "CursorPagination: its cursor is neither a key of the answer, of a record nor a Link header"
    )


def _into(option: Said) -> str:
    name = option.get("field_name")
    if option.get("inject_into") != "request_parameter" or not isinstance(name, str) or "{{" in name:
        raise Unconvertible("the next page is not asked for by a parameter of the query")
    return name


def _whole(said: Any) -> int | None:
    if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) < 8:  # noqa: PLR2004 - no page is larger
        return int(said)
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def changes(found: Any) -> tuple[Said | None, list[str]]:
    """The cursor by time; None, with the reason as a remark, where every pull reads all."""
    if not isinstance(found, dict):
        return None, []
    option = found.get("start_time_option")
    cursor = found.get("cursor_field")
    if found.get("type") != "DatetimeBasedCursor" or not isinstance(option, dict):
        return None, ["its cursor has no parameter of the query, so every pull reads all of it"]
    try:
        said: Said = {"parameter": _into(option), "format": _format(found.get("datetime_format"))}
        end = found.get("end_time_option")
        if isinstance(end, dict):
            said["end_parameter"] = _into(end)
        for key, ours in (
            ("lookback_window", "lookback_seconds"),
            ("cursor_granularity", "granularity_seconds"),
        ):
            if found.get(key):
                said[ours] = seconds(found[key])
    except Unconvertible as error:
        return None, [f"every pull reads all of it: {error}"]
    if isinstance(cursor, str) and cursor and "{{" not in cursor:
        said["changed_at"] = cursor.split(".")
    return said, []


def _format(said: Any) -> str:
    if not isinstance(said, str) or "{{" in said:
        raise Unconvertible("the format of its times is not fixed")
    if said in _FORMATS:
        return _FORMATS[said]
    if "%_ms" in said or "%epoch" in said or "%s" in said:
        raise Unconvertible(f"times in the format {said!r} are not written")
    return said


def seconds(said: Any) -> int:
    """An ISO 8601 duration of weeks to seconds."""
    match = _DURATION.fullmatch(said) if isinstance(said, str) else None
    if match is None or not any(match.groups()):
        if isinstance(said, str) and re.fullmatch(r"PT0\.0*1S", said):
            return 1
        raise Unconvertible("a duration is not one of weeks, days, hours, minutes and seconds")
    return sum(int(count) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True) if count)


def partition(found: Any, parameters: Said, translator: Translator, given: Mapping[str, Any]) -> Said | None:
    """The partitions; how a request names one is written into ``parameters``."""
    if isinstance(found, list):
        if len(found) > 1:
            raise Unconvertible("a product of partitions is not carried over")
        found = found[0] if found else None
    if not isinstance(found, dict):
        return None
    if found.get("type") == "ListPartitionRouter":
        return _values(found, parameters, translator, given)
    if found.get("type") != "SubstreamPartitionRouter":
        raise Unconvertible(f"{found.get('type')}: documents have no such partitions")
    parents = found.get("parent_stream_configs")
    if not isinstance(parents, list) or len(parents) != 1 or not isinstance(parents[0], dict):
        raise Unconvertible("SubstreamPartitionRouter: it has several parents")
    parent = parents[0]
    if parent.get("extra_fields") or parent.get("lazy_read_pointer"):
        raise Unconvertible("SubstreamPartitionRouter: extra fields of the parent are not carried over")
    stream = parent.get("stream")
    name, key = str(parent.get("partition_field", "")), parent.get("parent_key")
    if not isinstance(stream, dict) or not isinstance(key, str) or "*" in key:
        raise Unconvertible("SubstreamPartitionRouter: its parent is not a stream with a key")
    _asked_by(parent.get("request_option"), name, parameters)
    return {
        "stream": slug(str(stream.get("name") or "")),
        "parent_key": [part for part in re.split(r"[/.]", key) if part],
        "partition_field": slug(name),
    }


def _values(found: Said, parameters: Said, translator: Translator, given: Mapping[str, Any]) -> Said:
    name = str(found.get("cursor_field", "value"))
    values = found.get("values")
    _asked_by(found.get("request_option"), name, parameters)
    if isinstance(values, str):
        return {"values": translator.text(values, given, what="values"), "partition_field": slug(name)}
    if not isinstance(values, list) or not all(isinstance(one, str | int) for one in values):
        raise Unconvertible("ListPartitionRouter: its values are not texts")
    return {"values": [str(one) for one in values], "partition_field": slug(name)}


def _asked_by(option: Any, name: str, parameters: Said) -> None:
    if isinstance(option, dict):
        parameters[_into(option)] = f"{{{{ partition.{slug(name)} }}}}"
