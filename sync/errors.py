"""What stops a sync, named by connection and stream.

SyncError
├── ConnectionBusyError   another process syncs this stream at the moment
└── PullError             the source or the database failed; its cause says how
"""


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
