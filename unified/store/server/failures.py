"""How the server's failures read: psycopg's errors about its state become those of :mod:`unified.store.errors`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from unified.store.errors import BusyError, FullDiskError, NotMigratedError, UnreachableError
from unified.store.server import pools

_RETRY_LATER = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.IdleInTransactionSessionTimeout,
)


@contextmanager
def clear_errors(doing: str) -> Iterator[None]:
    """Turn psycopg's errors about the server's state into this package's; errors about data pass through.

    Args:
        doing: What is being tried, to begin the message with: ``"opening the database"``.

    Raises:
        UnreachableError, BusyError, FullDiskError, NotMigratedError: As their names say.
    """
    try:
        yield
    except PoolTimeout as error:
        msg = f"{doing}: no connection to PostgreSQL came free or could be made in {pools.POOL_SECONDS:.0f} s"
        raise UnreachableError(msg) from error
    except _RETRY_LATER as error:
        msg = f"{doing}: PostgreSQL ended the transaction ({_reason(error)}); it is undone, try again"
        raise BusyError(msg) from error
    except errors.DiskFull as error:
        msg = f"{doing}: PostgreSQL has no room left ({_reason(error)}); nothing of it was stored. Free some space"
        raise FullDiskError(msg) from error
    except psycopg.OperationalError as error:
        msg = (
            f"{doing}: PostgreSQL can't be reached or gave up ({_reason(error)}); "
            "what was not committed is undone. Check that the server runs and that DATABASE_URL is right"
        )
        raise UnreachableError(msg) from error
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction) as error:
        msg = f"{doing}: the tables are not those of this release ({_reason(error)}); run `unified migrate`"
        raise NotMigratedError(msg) from error


def _reason(error: psycopg.Error) -> str:
    """One line of what the server or libpq says. Neither repeats a password."""
    return " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
