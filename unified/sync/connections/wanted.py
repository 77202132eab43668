"""What somebody wants of a connection, held against its connector: streams, days, history and secrets.

Its settings are checked by :mod:`unified.kit.settings`, its columns by :mod:`unified.sync.columns.rules`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import start_times
from unified.kit.errors import ConfigurationError, did_you_mean
from unified.kit.secrets import Secret
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL


class CredentialFieldsError(ConfigurationError):
    """Secrets are not the ones that their connector needs.

    Attributes:
        missing: Fields that are needed with the others.
    """

    def __init__(self, message: str, missing: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnection:
    """A connection to add.

    Attributes:
        connector: Which system.
        name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
        settings: JSON values for the adapter's settings; no secret.
        secrets: By field: all that the connector needs, or none, to be stored later.
        streams: Names of the streams to read; without any the connector's usual ones.
        columns: By stream, which fields of its records are left out or hashed.
        since: By stream, the day (ISO 8601) on which the records that are stored begin.
        history: Names of the streams whose former states are kept.
        sync_interval: How often to sync: whole minutes, up to 31 days.
        is_active: Whether to sync it by schedule.
    """

    connector: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    streams: Collection[str] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)
    history: Collection[str] = ()
    sync_interval: timedelta = DEFAULT_SYNC_INTERVAL
    is_active: bool = True


def stored_streams(adapter: type[BaseAdapter[Any]], names: Collection[str]) -> list[str]:
    """Streams as a connection keeps them: none where they are the usual ones, in whatever order they are named.

    Raises:
        ConfigurationError: If the connector has no such stream.
    """
    known = [stream.name for stream in adapter.streams]
    if unknown := sorted(set(names).difference(known)):
        raise ConfigurationError(
            f"{adapter.name} polls no stream {', '.join(unknown)}; it polls {', '.join(known)}"
            + did_you_mean(unknown[0], known)
        )
    chosen = adapter.chosen(names)
    return [] if chosen == adapter.chosen() else [stream.name for stream in chosen]


def stored_since(adapter: type[BaseAdapter[Any]], since: Mapping[str, str]) -> dict[str, str]:
    """Days on which streams begin, as a connection keeps them.

    Raises:
        ConfigurationError: If the connector has no such stream, or one is not a day.
    """
    return {adapter.stream(name).name: f"{begin:%Y-%m-%d}" for name, begin in start_times(since).items()}


def kept_history(adapter: type[BaseAdapter[Any]], names: Collection[str]) -> list[str]:
    """Streams whose former states are kept, as a connection keeps them.

    Raises:
        ConfigurationError: If the connector has no such stream, or its records happen once and never change.
    """
    streams = sorted({adapter.stream(name).name for name in names})
    if logs := [name for name in streams if adapter.stream(name).entity.is_log]:
        raise ConfigurationError(
            f"{', '.join(logs)} of {adapter.name} never change, so there is no history to keep"
        )
    return streams


def check_secrets(
    adapter: type[BaseAdapter[Any]], secrets: Mapping[str, Secret], *, all_of_them: bool = True
) -> None:
    """Refuse secrets that are not the ones of a connector.

    Args:
        adapter: The connector's.
        secrets: By field.
        all_of_them: Whether none may be missing.

    Raises:
        CredentialFieldsError: If one is unknown or missing.
    """
    known = {one.name for one in adapter.credential_fields}
    if not known.issuperset(secrets):  # not named: a sender who mixes them up has sent a secret as a name
        raise CredentialFieldsError(f"{adapter.name} has {', '.join(sorted(known))}")
    if all_of_them and (missing := known - secrets.keys()):
        names = ", ".join(sorted(missing))
        raise CredentialFieldsError(f"{adapter.name} needs {names} as well", frozenset(missing))
