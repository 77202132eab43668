"""What a connector declares, and whom it works for: settings, capabilities, credentials, OAuth, account.

Plain data that every layer may import. Not here: the contract that uses it (``adapter``), streams and pages
(``streams``), and the calls to an OAuth token endpoint (``http.oauth``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from unified.kit.errors import ConfigurationError

GrantType = Literal["authorization_code", "client_credentials"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]


class Capability(StrEnum):
    """What an adapter can do."""

    READ = "READ"
    WRITE = "WRITE"
    DELETE = "DELETE"
    WEBHOOK = "WEBHOOK"
    BATCH = "BATCH"


class CredentialKind(StrEnum):
    """How a connection proves who it is."""

    API_KEY = "api_key"
    OAUTH_TOKEN = "oauth_token"  # noqa: S105 - a kind, no password
    BASIC_AUTH = "basic_auth"
    BEARER_TOKEN = "bearer_token"  # noqa: S105


class AdapterConfig(BaseModel):
    """A connection's settings: everything that is not secret. Adapters subclass it with their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Hosts that base_url may name, and all below them; empty where each customer has one of their own.
    hosts: ClassVar[tuple[str, ...]] = ()

    base_url: str = Field(description="Where the API lives.")
    timeout: float = Field(default=30.0, gt=0, le=300, description="Seconds for one response.")
    retry_count: int = Field(
        default=5, ge=0, le=20, description="Retries of a request that may succeed later."
    )
    retry_delay: float = Field(
        default=0.5, ge=0, le=60, description="Seconds before the first retry; doubles."
    )
    requests_per_second: float | None = Field(
        default=None, gt=0, description="Overrides the provider's limit, for an account that has another one."
    )
    concurrency: int = Field(default=16, ge=1, le=64, description="Requests under way at once.")
    allow_private_hosts: bool = Field(default=False, description="Permit loopback and private addresses.")


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One secret that a connection needs.

    Attributes:
        name: Key under which the adapter finds it.
        label: What to ask a person for.
        hint: How to recognise it and where to get it.
    """

    name: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class ConnectionRef:
    """Which connection an adapter works for; ids and names only, nothing secret.

    Attributes:
        id: Row of ``connector_configs``.
        workspace_id: The tenant.
        key: ``workspace/name``, for messages.
    """

    id: UUID
    workspace_id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account a credential opens; the answer of :meth:`BaseAdapter.test`.

    Attributes:
        id: The account's id at the provider.
        name: Its name for people, where the provider tells.
        livemode: False for a test account; None where unknown.
    """

    id: str
    name: str | None = None
    livemode: bool | None = None


@dataclass(frozen=True, slots=True)
class OAuth:
    """What a connector declares about OAuth; nothing else is needed to authorize its connections.

    A URL that is only a path is below the connection's ``base_url``. Where a connection has moved its ``base_url``
    away from the connector's own, to a stand-in for instance, all of them are below that.

    Attributes:
        token_url: Where codes and refresh tokens are exchanged (RFC 6749 section 3.2).
        authorize_url: Where a person consents (section 3.1); None where there is nobody to ask.
        scopes: What is asked for.
        grants: How a connection may be authorized, the usual way first.
        client_authentication: How the app proves who it is at the token endpoint (section 2.3.1).
        revoke_url: Where a token is given back (RFC 7009), if anywhere.
        authorize_params: What else the authorization URL has to say, such as ``access_type``.
    """

    token_url: str
    authorize_url: str | None = None
    scopes: tuple[str, ...] = ()
    grants: tuple[GrantType, ...] = ("authorization_code",)
    client_authentication: ClientAuthentication = "client_secret_basic"
    revoke_url: str | None = None
    authorize_params: Mapping[str, str] = field(default_factory=dict)

    def choose(self, grant: GrantType | None, connector: str) -> GrantType:
        """The grant that is asked for, or the usual one.

        Raises:
            ConfigurationError: If the connector does not have it.
        """
        chosen = grant or self.grants[0]
        if chosen not in self.grants:
            raise ConfigurationError(f"{connector} can't be authorized by {chosen}, only by {self.grants[0]}")
        return chosen
