"""Where a connection's credentials go: its ``base_url``, and the origin of that.

Which origins an installation allows is `unified.api.management.destinations`; that credentials never follow a
connection to another one, `unified.sync.connections`; which addresses no connection may reach, `unified.kit.http`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ConfigurationError, ForbiddenHostError

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


def origin_of(settings_model: type[AdapterConfig], settings: Mapping[str, Any]) -> Origin | None:
    """Where a connection with these settings sends its credentials."""
    return Origin.of(str(settings.get("base_url", settings_model.model_fields["base_url"].default)))


def usable_base_url(config: AdapterConfig) -> httpx.URL:
    """The base URL of a connection with these settings.

    Raises:
        ForbiddenHostError: If it leads to a host that is not the system's.
        ConfigurationError: If it is not a URL to which a credential may go. Both say what is wrong with it, to follow
            the setting's name.
    """
    try:
        url = httpx.URL(config.base_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"is not a URL ({error})") from error
    if url.scheme not in ("https", "http") or not url.host or url.userinfo:
        raise ConfigurationError("must look like https://host/path, without a user")
    if url.scheme == "http" and not config.allow_private_hosts:
        raise ConfigurationError("must be https; plain http is for private hosts, with allow_private_hosts")
    is_known = any(f".{url.host}".endswith(f".{host}") for host in config.hosts)
    if config.hosts and not is_known and not config.allow_private_hosts:
        hosts = ", ".join(config.hosts)
        raise ForbiddenHostError(
            f"leads to {url.host}, which is not one of this system's hosts ({hosts}); correct it"
        )
    return url


def target_of(url: str, *, allow_private: bool) -> tuple[str, str]:
    """A URL of a user's own to which something is sent: its origin, and the path and query below it.

    Raises:
        ConfigurationError: If nothing can be sent there. It says what is wrong, to follow the word URL.
    """
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"is none ({error})") from error
    if Origin.of(url) is None or parts.fragment:
        raise ConfigurationError("must look like https://host/path, without a user and a fragment")
    if parts.scheme == "http" and not allow_private:
        raise ConfigurationError("must be https; plain http is for private hosts that were allowed")
    return f"{parts.scheme}://{parts.netloc.decode()}", parts.raw_path.decode()
