"""Where the modules of earlier releases are now, for adapters of other packages that still import them by old names."""

import re

MOVED = {
    "adapters.authentication": ("unified.kit.http.authentication",),
    "adapters.base": ("unified.kit.adapter", "unified.kit.declarations"),
    "adapters.errors": ("unified.kit.errors",),
    "adapters.factory": ("unified.kit.factory",),
    "adapters.http": ("unified.kit.http.client",),
    "adapters.limits": ("unified.kit.http.limits",),
    "adapters.oauth": ("unified.kit.oauth", "unified.kit.oauth_app", "unified.kit.declarations"),
    "adapters.registry": ("unified.kit.registry",),
    "adapters.secrets": ("unified.kit.secrets",),
    "adapters.standard_webhooks": ("unified.kit.webhooks.standard",),
    "adapters.streams": ("unified.kit.streams",),
    "adapters.transport": ("unified.kit.http.transport",),
    "adapters.verifiers": ("unified.kit.webhooks.verifiers", "unified.kit.registry"),
    "adapters.webhooks": tuple(
        f"unified.kit.webhooks.{one}" for one in ("deliveries", "payloads", "signatures")
    ),
    "adapters.windows": ("unified.kit.reading.windows",),
    "adapters.writing": ("unified.kit.writing.changes",),
}
"""An old module's parts are in one of these."""

_PACKAGES = {"unified_schema": "unified.schema", "sandbox": "unified.sandbox"}
"""Packages that moved as they were."""

_FROM = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def explain(error: ImportError) -> str | None:
    """Say what to import instead, where an import failed because its module moved.

    Returns:
        ``adapters.base is now unified.kit.adapter or unified.kit.declarations``; None where nothing of ours moved.
    """
    missing = error.name or ""
    if found := _FROM.match(error.msg or ""):  # from adapters import base
        missing = f"{found[2]}.{found[1]}"
    if new := MOVED.get(missing):
        return f"{missing} is now {' or '.join(new)}"
    package, dot, rest = missing.partition(".")
    if package in _PACKAGES:
        return f"{missing} is now {_PACKAGES[package]}{dot}{rest}"
    return None
