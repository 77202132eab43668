"""What a connector declares, and whom it works for: settings, capabilities, credentials, OAuth, streams.

Plain data that every layer may import. Not here: the contract that uses it (``adapter``), what a stream's records
travel in (``streams``), and the calls to an OAuth token endpoint (``http.oauth``).
"""

import re
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from unified.kit.errors import ConfigurationError
from unified.kit.streams import Cursor, Origin, Page
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase
from unified.schema.entities import Entity

GrantType = Literal["authorization_code", "client_credentials"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]
KeyPlace = Literal["header", "basic_user", "query", "body"]
"""Where an API key goes: into a header, as the user of basic authentication without a password, into the query, or into
the JSON or form that is sent."""

UNKNOWN_ACCOUNT = "unknown"
"""The id of an account whose credential may not say whose it is."""

STREAM_NAME = r"[a-z][a-z0-9_]{0,39}"
"""What a stream may be called, as a regular expression."""


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

    # Settings are stored as JSON, which has no infinite number.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Hosts that base_url may name, and all below them; empty where each customer has one of their own.
    hosts: ClassVar[tuple[str, ...]] = ()
    # Settings that say what is read: where one of them changes, the connection's streams are read anew.
    reads: ClassVar[frozenset[str]] = frozenset(("base_url",))

    base_url: str = Field(description="Where the API lives.")
    timeout: float = Field(
        default=30.0,
        gt=0,
        le=300,
        description="Seconds for any part of a response; ten times as many for all.",
    )
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
    bury_at_most: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of a table that a full refresh may mark as deleted without a person's word; ten records "
        "always, unless it is 0.",
    )
    allow_private_hosts: bool = Field(default=False, description="Permit loopback and private addresses.")

    @field_validator("base_url")
    @classmethod
    def _is_only_a_place(cls, url: str) -> str:
        if "?" in url or "#" in url:
            msg = "must look like https://host/path, without a query or fragment"
            raise ValueError(msg)
        return url


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
        streams: Names of the streams that it reads; empty for its connector's usual ones.
        since: By stream, when the records that are stored begin, where the stream has a start.
    """

    id: UUID
    workspace_id: UUID
    key: str
    streams: Sequence[str] = ()
    since: Mapping[str, datetime] = field(default_factory=dict)


def start_times(since: Mapping[str, str]) -> dict[str, datetime]:
    """When streams begin.

    Args:
        since: By stream, a day in ISO 8601.

    Returns:
        By stream, midnight UTC of that day.

    Raises:
        ConfigurationError: If one is not a day.
    """
    found = {}
    for stream, day in since.items():
        try:
            found[stream] = datetime.combine(date.fromisoformat(day), time(), UTC)
        except ValueError:
            raise ConfigurationError(f"{stream}: {day!r:.40} is not a day: write it as 2025-01-31") from None
    return found


@dataclass(frozen=True, slots=True)
class Account:
    """Whose account a credential opens; the answer of :meth:`BaseAdapter.test`.

    Attributes:
        id: The account's id at the provider; ``UNKNOWN_ACCOUNT`` where the credential may not say.
        name: Its name for people, where the provider says so.
        livemode: False for a test account; None where unknown.
    """

    id: str
    name: str | None = None
    livemode: bool | None = None


@dataclass(frozen=True, slots=True)
class Tenants:
    """Where a provider lists the companies that a grant opens; a connection is to one of them.

    Attributes:
        url: Answers with a list of objects (Xero: ``https://api.xero.com/connections``).
        setting: The connection's setting that names the company, by its id.
        id: The field of an object that holds the id.
        name: The field that holds its name for people.
    """

    url: str
    setting: str
    id: str = "id"
    name: str = "name"


@dataclass(frozen=True, slots=True)
class Assertion:
    """How an app without a person in between is granted tokens by a JWT that it signs (RFC 7523 section 2.1).

    Used where the app's secret is a private key, in PEM.

    Attributes:
        audience: Whom the JWT is for; None for the token URL, ``/`` for the connection's ``base_url``.
        subject_setting: The connection's setting that names the user to act for; None for the app itself.
        algorithm: How it is signed (RFC 7518 section 3.1).
    """

    audience: str | None = None
    subject_setting: str | None = None
    algorithm: Literal["RS256", "ES256"] = "RS256"


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
        answer_settings: What the token endpoint answers besides tokens, with the setting that it becomes:
            ``{"instance_url": "base_url"}``.
        redirect_settings: The same of the URL that the browser comes back to: ``{"realmId": "company"}``.
        tenants: Where to ask afterwards which companies the grant opens, if anywhere.
        assertion: How the grant ``client_credentials`` is had by a signed JWT instead of a shared secret.
        reuse_revokes: Whether a refresh token that was exchanged and comes back ends the whole grant: the former one is
            then never tried, whatever the provider says of the newest.
        pkce: Whether consents are bound by RFC 7636. A provider that does not take it by itself ignores or refuses it.
        scope_separator: What stands between scopes.
        scopes_setting: The connection's setting that names further scopes, with commas between, if there is one.
        ended_by: The provider's own words for ``invalid_grant``: this grant or refresh token will never work again.
        refresh_unused: For how long a refresh token lives that nobody uses, where the token endpoint does not say it.
        lasts: For how long a person's consent lasts at most, however often its tokens are replaced; None for ever.
    """

    token_url: str
    authorize_url: str | None = None
    scopes: tuple[str, ...] = ()
    grants: tuple[GrantType, ...] = ("authorization_code",)
    client_authentication: ClientAuthentication = "client_secret_basic"
    revoke_url: str | None = None
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    answer_settings: Mapping[str, str] = field(default_factory=dict)
    redirect_settings: Mapping[str, str] = field(default_factory=dict)
    tenants: Tenants | None = None
    assertion: Assertion | None = None
    reuse_revokes: bool = False
    pkce: bool = True
    scope_separator: str = " "
    scopes_setting: str | None = None
    ended_by: tuple[str, ...] = ()
    refresh_unused: timedelta | None = None
    lasts: timedelta | None = None

    def choose(self, grant: GrantType | None, connector: str) -> GrantType:
        """The grant that is asked for, or the usual one.

        Raises:
            ConfigurationError: If the connector does not have it.
        """
        chosen = grant or self.grants[0]
        if chosen not in self.grants:
            raise ConfigurationError(f"{connector} can't be authorized by {chosen}, only by {self.grants[0]}")
        return chosen


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """Where a raw invoice states its total, so that stored money can be held against it independently.

    Attributes:
        path: Keys from the raw record's top down to the amount.
        minor_units: Digits of the provider's minor unit by currency where amounts are integers, else None.
    """

    path: tuple[str, ...]
    minor_units: Mapping[str, int] | None = None


class Source(Protocol):
    """Reads one stream of one connection."""

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """Read from where the cursor stands; see :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        ...

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        ...


class Writer(Protocol):
    """Writes one stream of one connection, and looks up what is there."""

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        ...

    def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Find records; see :meth:`unified.kit.adapter.BaseAdapter.find`."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of record that a connector offers, and the functions that read, map and write it.

    What is left out here the adapter does in a method of its own: ``pull`` and ``fetch``, ``to_unified``, and so on.

    Attributes:
        name: What the system calls these records, e.g. ``contacts``, or the entity's name. Cursors, history and rows
            are kept under it, so it never changes.
        entity: The canonical table that its records land in; several streams of a connector may land in one.
        is_usual: Whether a connection that chooses no streams reads it.
        asks_since: Whether a full refresh asks for records from a start date on; else all are read, and those from
            before are not stored.
        mapping_version: Raised with each change of the mapping, so that stored rows are mapped again.
        reading: Identifies how it is read: where that changes, the stream is read anew.
            Documents have it.
        customers: For invoices, the stream of this connector whose records ``customer_id`` names, where it has one.
        control_total: For invoices, where the raw record states its total.
        writable_fields: Fields of the entity's model that this system keeps when it is written to; none where the
            adapter does not write the stream.
        source: Makes what reads the stream, of the connected adapter and this stream. None where no request lists its
            records: only webhooks bring them.
        to_unified: Maps one raw record; pure, see :meth:`unified.kit.adapter.BaseAdapter.to_unified`.
        writer: Makes what writes the stream, of the connected adapter and this stream.
        from_unified: Maps a record to what the API takes; pure, see
            :meth:`unified.kit.adapter.BaseAdapter.from_unified`.
    """

    name: str
    entity: Entity
    is_usual: bool = True
    asks_since: bool = False
    mapping_version: int = 1
    reading: str = ""
    customers: str | None = None
    control_total: ControlTotal | None = None
    writable_fields: frozenset[str] = frozenset()
    source: "Callable[[Any, Stream], Source] | None" = None
    to_unified: Callable[[dict[str, Any], Origin], UnifiedBase] | None = None
    writer: "Callable[[Any, Stream], Writer] | None" = None
    from_unified: Callable[[Any, Collection[str] | None], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(STREAM_NAME, self.name):
            msg = f"{self.name!r} is not a name of a stream: use 1 to 40 lower-case letters, digits and underscores"
            raise ConfigurationError(msg)
