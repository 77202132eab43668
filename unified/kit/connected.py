"""One connection to one system: its settings and credentials, and the HTTP client that is open in between.

Not here: what an adapter reads, writes and maps (``adapter``).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import ClassVar, Generic, Self, TypeVar

import httpx

from unified.kit.declarations import AdapterConfig, ConnectionRef, CredentialField, CredentialKind, KeyPlace
from unified.kit.errors import ConfigurationError
from unified.kit.http.authentication import OAuthAuthentication, TokenSource, fixed_authentication
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit, rate_limits
from unified.kit.http.refusals import Refusals
from unified.kit.mapping.columns import NO_COLUMNS, Columns
from unified.kit.secrets import Secret

ConfigT = TypeVar("ConfigT", bound=AdapterConfig)


class Connected(Generic[ConfigT]):
    """One connection; use it in ``async with``.

    Type parameter:
        ConfigT: The adapter's settings model.
    """

    name: ClassVar[str]
    credential_kind: ClassVar[CredentialKind]
    credential_fields: ClassVar[tuple[CredentialField, ...]]
    # Where an API key goes, and the header's or the query parameter's name; in the usual header it is a bearer token.
    api_key_place: ClassVar[KeyPlace] = "header"
    api_key_header: ClassVar[str] = "authorization"
    api_key_parameter: ClassVar[str] = "api_key"
    # How the provider says no.
    refusals: ClassVar[Refusals] = Refusals()

    def __init__(
        self,
        config: ConfigT,
        credentials: Mapping[str, Secret],
        connection: ConnectionRef,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        tokens: TokenSource | None = None,
        columns: Columns = NO_COLUMNS,
    ) -> None:
        """Prepare a connection without touching the network.

        Args:
            config: The connection's settings.
            credentials: Secrets by the names in ``credential_fields``; mapping works without them.
            connection: Whom this adapter works for.
            clock: Returns the time at which pages are observed.
            tokens: Access tokens of a connection that is authorized by OAuth.
            columns: What is left out or hashed of its records, once they are read and before they are stored.
        """
        self.config = config
        self.credentials = credentials
        self.connection = connection
        self.clock = clock
        self.tokens = tokens
        self.columns = columns
        self._http: HttpClient | None = None

    @property
    def http(self) -> HttpClient:
        """The open HTTP client.

        Raises:
            ConfigurationError: Outside ``async with`` (or :meth:`connect` … :meth:`disconnect`).
        """
        if self._http is None:
            msg = f"the {self.name} adapter is not connected; use it in `async with`"
            raise ConfigurationError(msg)
        return self._http

    async def connect(self) -> None:
        """Open the HTTP client. Nothing is sent yet; :meth:`test` asks the provider.

        Raises:
            ConfigurationError: If a credential is missing.
        """
        if self.tokens is None and self.credential_kind is CredentialKind.OAUTH_TOKEN:
            msg = (
                f"connection {self.connection.key} is not authorized; "
                f"run `unified connections authorize {self.connection.key}`"
            )
            raise ConfigurationError(msg)
        missing = [field.label for field in self.credential_fields if field.name not in self.credentials]
        if missing and self.tokens is None:
            msg = (
                f"connection {self.connection.key} has no {' and no '.join(missing)}; "
                "remove it and add it again with `unified connections add`"
            )
            raise ConfigurationError(msg)
        if self._http is None:
            self._http = self.open_http()

    async def disconnect(self) -> None:
        """Close the HTTP client and its connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def label(self) -> str:
        """Names the connection in errors, e.g. ``stripe connection acme/main``."""
        return f"{self.name} connection {self.connection.key}"

    def authentication(self) -> httpx.Auth:
        """How this connection's requests prove who sends them: for :class:`HttpClient`'s ``auth``.

        Raises:
            ConfigurationError: If no header can carry the credential.
        """
        if self.tokens is not None:
            return OAuthAuthentication(self.tokens, label=self.label, refusals=self.refusals)
        fields = [field.name for field in self.credential_fields]
        return fixed_authentication(
            self.credential_kind,
            self.credentials,
            fields,
            header=self.api_key_header,
            place=self.api_key_place,
            parameter=self.api_key_parameter,
            label=self.label,
        )

    def limits(self) -> Sequence[Limit]:
        """What the provider allows this connection, the limit ``default`` among it.

        The setting ``requests_per_second`` takes the place of that one's rate.
        """
        raise ConfigurationError(f"the adapter {self.name} declares no limits")

    def headers(self) -> Mapping[str, str]:
        """What every request carries beside the credential, such as the API's version."""
        return {}

    def open_http(self) -> HttpClient:
        """The HTTP client, with the credential, limits, headers and refusals that are declared.

        Raises:
            ConfigurationError: If the credential or the settings can't work.
        """
        return HttpClient(
            self.config,
            label=self.label,
            headers=self.headers(),
            auth=self.authentication(),
            limits=rate_limits(self.limits(), fixed=self.config.requests_per_second),
            refusals=self.refusals,
        )
