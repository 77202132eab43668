"""Where a connection's credentials go: the origin of its ``base_url``.

Which origins an installation allows is `unified.api.management.destinations`; that credentials never follow a
connection to another one, `unified.sync.connections`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from unified.kit.adapter import BaseAdapter

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a browser calls an origin: scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin | None":
        """The origin of a URL; None where it has none."""
        try:
            parts = httpx.URL(url)  # as the client will read it, and nobody else
        except (httpx.InvalidURL, TypeError):
            return None
        if parts.scheme not in _DEFAULT_PORTS or not parts.host or parts.userinfo:
            return None
        return cls(parts.scheme, parts.raw_host.decode(), parts.port or _DEFAULT_PORTS[parts.scheme])


def origin_of(adapter: type[BaseAdapter[Any]], settings: Mapping[str, Any]) -> Origin | None:
    """Where a connection with these settings sends its credentials."""
    return Origin.of(str(settings.get("base_url", adapter.config_model.model_fields["base_url"].default)))
