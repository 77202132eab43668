"""From a connection's id to an adapter that is ready to use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig, ConnectionRef, CredentialKind
from unified.kit.decoding import describe_faults
from unified.kit.errors import ConfigurationError
from unified.kit.http.authentication import TokenSource
from unified.kit.mapping.columns import NO_COLUMNS, Columns
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret


@dataclass(frozen=True, slots=True)
class OpenedConnection:
    """A connection with its secrets, as the credential store releases it.

    Attributes:
        ref: Ids and name.
        connector: Which adapter serves it.
        settings: Its stored settings; they hold no secret.
        credentials: Decrypted secrets by field name.
        kind: What kind of credential they are.
        tokens: Access tokens, where that kind is OAuth's.
        columns: What is left out or hashed of its records.
    """

    ref: ConnectionRef
    connector: str
    settings: Mapping[str, Any]
    credentials: Mapping[str, Secret]
    kind: str | None = None
    tokens: TokenSource | None = None
    columns: Columns = NO_COLUMNS


class ConnectionSource(Protocol):
    """Where connections and their secrets come from; the store implements it."""

    async def open_connection(
        self, workspace_id: UUID, connection_id: UUID, *, purpose: str
    ) -> OpenedConnection:
        """Load a connection and release its secrets, leaving a record of who asked and why."""
        ...


class AdapterFactory:
    """Makes adapters with decrypted credentials, the only place where the two meet."""

    def __init__(self, source: ConnectionSource, *, clock: Callable[[], datetime] | None = None) -> None:
        """Make adapters of the connections in ``source``.

        Args:
            source: Where connections and secrets come from.
            clock: Returns the time that ``observed_at`` is taken from. One clock for all writers of a table keeps
                their states comparable.
        """
        self._source = source
        self._clock = clock

    async def create(self, workspace_id: UUID, connection_id: UUID, *, purpose: str) -> BaseAdapter[Any]:
        """The adapter of a connection, not connected yet.

        Args:
            workspace_id: The tenant.
            connection_id: The connection.
            purpose: Why its secrets are needed, for the audit log: ``sync``, ``test``, ….

        Raises:
            ConfigurationError: If the connector is unknown or the settings do not fit it.
        """
        opened = await self._source.open_connection(workspace_id, connection_id, purpose=purpose)
        if opened.kind == CredentialKind.OAUTH_TOKEN and opened.tokens is None:
            raise ConfigurationError(
                f"connection {opened.ref.key} is authorized by OAuth, and was opened without what refreshes its tokens"
            )
        return build_adapter(
            opened.connector,
            opened.settings,
            opened.credentials,
            opened.ref,
            clock=self._clock,
            tokens=opened.tokens,
            columns=opened.columns,
        )


def build_adapter(
    connector: str,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Secret],
    connection: ConnectionRef,
    *,
    clock: Callable[[], datetime] | None = None,
    tokens: TokenSource | None = None,
    columns: Columns = NO_COLUMNS,
) -> BaseAdapter[Any]:
    """An adapter from parts, for a connection that is not stored (yet).

    Raises:
        ConfigurationError: If the connector is unknown or the settings do not fit it.
    """
    config = config_of(connector, settings, connection)
    return get_adapter(connector)(
        config, credentials, connection, tokens=tokens, columns=columns, **({"clock": clock} if clock else {})
    )


def config_of(connector: str, settings: Mapping[str, Any], connection: ConnectionRef) -> AdapterConfig:
    """A connection's settings as its adapter takes them.

    Raises:
        ConfigurationError: If the connector is unknown or the settings do not fit it.
    """
    try:
        return get_adapter(connector).config_model.model_validate(dict(settings))
    except ValidationError as error:
        msg = f"the settings of connection {connection.key} do not fit {connector}: {describe_faults(error)}"
        raise ConfigurationError(msg) from None
