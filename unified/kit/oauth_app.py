"""OAuth 2.0: which app asks for a connection, its own or the deployment's, and where it may be used.

What the app asks for is in ``oauth``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret

_OWN_APP = "give the connection an app of its own (`--own-app`; `app` in the API)"

# Names of the secrets that a connection's own OAuth app has.
CLIENT_ID = "client_id"
CLIENT_SECRET = "client_secret"  # noqa: S105 - a field's name


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An OAuth app as the provider knows it.

    Attributes:
        id: Public; it stands in the authorization URL.
        secret: Proves that it is the app who asks.
    """

    id: str
    secret: Secret


def client_of(
    adapter: type[BaseAdapter[Any]],
    config: AdapterConfig,
    own: Mapping[str, Secret],
    environment: Mapping[str, str] = os.environ,
) -> OAuthClient:
    """The OAuth app that asks for a connection: the connection's own, or else the deployment's.

    The deployment's secret is shared by all tenants, so it goes to the connector's own address only and never to one
    that a tenant has set.

    Args:
        adapter: The connector.
        config: The connection's settings.
        own: The connection's secrets.
        environment: Variables by name.

    Raises:
        ConfigurationError: If there is no app, half of one, or one that must not be used there.
    """
    if CLIENT_ID in own and CLIENT_SECRET in own:
        return OAuthClient(own[CLIENT_ID].reveal(), own[CLIENT_SECRET])
    prefix = f"UNIFIED_OAUTH_{adapter.name.upper()}"
    client_id, secret = (environment.get(f"{prefix}_{part}", "") for part in ("CLIENT_ID", "CLIENT_SECRET"))
    if not client_id or not secret or CLIENT_ID in own or CLIENT_SECRET in own:
        raise ConfigurationError(
            f"there is no OAuth app for {adapter.name}: set both {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET, "
            f"or {_OWN_APP}"
        )
    allowed = {environment.get(f"{prefix}_BASE_URL") or usual_base_url(adapter)}
    if config.base_url not in allowed:
        raise ConfigurationError(
            f"this connection's base_url is not {adapter.display_name}'s own, and the deployment's OAuth app is used "
            f"nowhere else; {_OWN_APP}"
        )
    return OAuthClient(client_id, Secret(secret))


def usual_base_url(adapter: type[BaseAdapter[Any]]) -> str | None:
    """Where a connector's connections lead unless their settings say otherwise; None where that differs."""
    default = adapter.config_model.model_fields["base_url"].default
    return default if isinstance(default, str) else None
