"""What stands around each sync and each run of a route: its name in every error, and an entry that is always closed."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from unified.kit.errors import AdapterError
from unified.store.connections.registry import presentable
from unified.store.errors import StoreError
from unified.sync.errors import PullError, RouteError, SyncError, passes_soon

_log = logging.getLogger(__name__)

Named = type[PullError] | type[RouteError]


@contextmanager
def named(what: str, kind: Named) -> Iterator[None]:
    """Name what is worked on in whatever goes wrong with a source or the database inside the block.

    Args:
        what: For example ``acme/main: customers``.
        kind: Raised in place of an AdapterError or StoreError.
    """
    try:
        yield
    except (AdapterError, StoreError) as error:
        raise kind(presentable(f"{what}: {error}"), retry=passes_soon(error)) from error


@asynccontextmanager
async def closing(
    what: str, kind: Named, close: Callable[[str | None], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    """Close what was begun for the block as it ends, however it ends.

    Args:
        what: As for :func:`named`, which this does for the block as well.
        kind: As for :func:`named`.
        close: Closes it, with the reason where the block failed.
    """
    try:
        with named(what, kind):
            yield
    except BaseException as failure:
        # Where the database is what failed, all stays open, as after a kill: the next run sets it right.
        with suppress(StoreError):
            await close(_reason(failure, what))
        raise
    with named(what, kind):
        await close(None)


def reason_of(error: Exception, what: str) -> str:
    """What may be said of whatever ended a piece of work that others go on without; what nobody foresaw is logged.

    Args:
        error: It.
        what: Names the work in the log: ``acme/main: the drain``.
    """
    if isinstance(error, AdapterError | StoreError):
        return presentable(str(error))
    _log.error("%s failed unexpectedly", what, exc_info=error)
    return unexpected(error)


def unexpected(error: Exception) -> str:
    """What may be said of an error that nobody foresaw: its text may hold anything, a record's values included."""
    return f"failed unexpectedly ({type(error).__name__}); see the log"


def _reason(failure: BaseException, what: str) -> str:
    match failure:
        case SyncError():
            return str(failure)
        case Exception():
            return f"{what}: {unexpected(failure)}"
        case _:
            return f"{what}: interrupted; the next run goes on from the last commit"
