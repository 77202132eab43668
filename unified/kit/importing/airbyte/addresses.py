"""Where a manifest's requests go: base URL, the host as documents declare it, and the path."""

import re
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible
from unified.kit.importing.airbyte.manifest import PARAMETERS

Said = dict[str, Any]

_URL = re.compile(r"https://(?P<host>(?:[^/{]|\{\{.*?\}\})+)(?P<path>/.*)?", re.DOTALL)


def address(requester: Said, translator: Translator) -> tuple[str, str, str]:
    """Base URL, the host as documents declare it, and the path."""
    given = requester.get(PARAMETERS, {})
    base = translator.text(requester.get("url") or requester.get("url_base") or "", given, what="url")
    path = translator.text(requester.get("path") or "", given, what="path")
    if "://" in path:
        raise Unconvertible("its path names a host")
    whole = _URL.fullmatch(f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base)
    if whole is None:
        raise Unconvertible(
            "its address is plain http, not https://"
            if base.startswith("http://")
            else "its address is not https:// with a host: a setting must not name the whole of it"
        )
    label, dot, rest = (
        whole["host"].partition(".") if "{{" not in whole["host"] else _templated(whole["host"])
    )
    host = f"*.{rest}" if "{{" in label and dot else whole["host"]
    if "{{" in host:
        raise Unconvertible("a setting names more than the first part of its host")
    return f"https://{whole['host']}", host, whole["path"] or "/"


def _templated(host: str) -> tuple[str, str, str]:
    """A host whose first part holds an expression, which may have dots in it."""
    end = host.rfind("}}") + 2
    label, dot, rest = host[end:].partition(".")
    return host[:end] + label, dot, rest
