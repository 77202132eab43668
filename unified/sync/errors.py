"""What stops a sync, a route or a change of a connection, named by what it stops.

SyncError
├── ConnectionBusyError     another process syncs this stream at the moment
├── PullError               the source or the database failed; its cause says how
├── StreamLeftOutError      the connection does not read this stream
├── RouteBusyError          another process runs this route at the moment
├── RouteError              one of a route's connections can't be used, or the database failed
├── CredentialRefusedError  the provider refuses a credential; it is not stored
└── OtherHostError          credentials that stay would go to another host; nothing is changed
"""

from collections.abc import Sequence

from unified.kit import errors as kit
from unified.store.errors import BusyError, UnreachableError

MAY_PASS = (*kit.MAY_PASS, UnreachableError, BusyError)
"""Errors of a source or of the database that pass by themselves."""


def passes_soon(error: Exception) -> bool:
    """Whether an error may be over in a minute. Where a provider asked to be left alone for longer, it will not."""
    return isinstance(error, MAY_PASS) and wait_of(error) is None


def wait_of(error: Exception) -> float | None:
    """Seconds for which a provider asked to be left alone, where that is longer than a run stays for."""
    return error.wait if isinstance(error, kit.ProviderError) else None


class SyncError(Exception):
    """Base of all errors of a sync.

    Attributes:
        retry: Whether the same sync may succeed soon without anybody doing anything.
    """

    retry = True


class ConnectionBusyError(SyncError):
    """Another process holds this stream's lease."""


class PullError(SyncError):
    """A sync ended early. What was committed before stays, and the next one goes on from there."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class StreamLeftOutError(SyncError):
    """A stream was to be synced that its connection does not read."""

    retry = False

    def __init__(self, connection: str, streams: Sequence[str]) -> None:
        super().__init__(
            f"{connection} does not read {', '.join(streams)}; choose its streams with "
            f"`unified connections update {connection} --streams`"
        )


class RouteBusyError(SyncError):
    """Another process holds this route's lease."""


class RouteError(SyncError):
    """A route's run ended early. What was done before stays, nothing is lost, and the next one goes on from there."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class CredentialRefusedError(SyncError):
    """A credential that was to be stored opens no account, or the provider does not say; nothing was stored."""

    retry = False


class OtherHostError(SyncError):
    """Settings were to lead a connection to another host, which would receive the credentials that stay."""

    retry = False

    def __init__(self) -> None:
        super().__init__(
            "Another host would receive the credentials: give them anew together with the address, or delete them "
            "first and store them afterwards. Nothing was changed."
        )
