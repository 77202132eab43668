"""What stops an export."""

from unified.sync.errors import SyncError


class ExportError(SyncError):
    """An export ended early, or can't begin. What it wrote so far stays beside its target, which is as it was."""

    retry = False


class UnfitError(Exception):
    """A value is of no type that its column has in the format; says which values those are, and not this one."""
