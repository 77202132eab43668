"""Pools of connections to the server, each connection with time limits and a role before its first use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from unified.store.errors import BusyError
from unified.store.server.roles import APP_ROLE
from unified.store.sessions import SETTINGS, LostConnectionError, Session

POOL_SECONDS = 30.0
"""How long a connection is waited for."""


class Connection(Session):
    """A session that has the embedded server started again if it was killed."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """As psycopg connects, and once more where the embedded server was started again."""
        try:
            return await super().connect(conninfo, **kwargs)
        except psycopg.OperationalError:
            from unified.store.server import embedded  # noqa: PLC0415 - of no use with a server of one's own

            if not await asyncio.to_thread(embedded.revive, conninfo):
                raise
        return await super().connect(conninfo, **kwargs)


Pool = AsyncConnectionPool[Connection]


def shared_pool(url: str, connections: int) -> Pool:
    """A pool whose connections take on the role of each transaction."""
    return AsyncConnectionPool(
        url,
        connection_class=Connection,
        min_size=1,
        max_size=connections,
        timeout=POOL_SECONDS,
        # Transactions begin by a statement of ours, see Database.
        kwargs={"autocommit": True},
        configure=_configure,
        open=False,
    )


def role_pool(url: str, role: str, connections: int) -> Pool:
    """A pool whose connections keep one role and commit each statement by itself.

    Nothing is connected before the first use. A connection that broke is not found out beforehand, which would cost
    each use a round trip: that use fails, and the sender of the request comes again.
    """
    return AsyncConnectionPool(
        url,
        connection_class=Connection,
        min_size=0,
        max_size=connections,
        timeout=POOL_SECONDS,
        kwargs={"autocommit": True, "prepare_threshold": 0},
        configure=partial(_configure, role=role),
        open=False,
    )


async def _configure(connection: AsyncConnection[Any], role: str = APP_ROLE) -> None:
    """Prepare a pooled connection: time limits, and the app's role for whatever forgets to take one on."""
    settings = {**SETTINGS, "role": role}
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        (list(settings), list(settings.values())),
    )
    await connection.commit()


@asynccontextmanager
async def kept_in_use(pool: Pool) -> AsyncIterator[None]:
    """Replace a pool's connections once one of them proved to be of no more use, before each fails by itself.

    The link to the server is dead, or the tables changed under the statements that they have prepared: PostgreSQL
    refuses such a statement for as long as its connection lives
    (https://www.postgresql.org/docs/current/sql-prepare.html).

    Raises:
        psycopg.OperationalError: Where none came in time, with what the server says to one that is made outside the
            pool. Of its own the pool only logs why it can't make any; it is a `PoolTimeout` where all are in use.
    """
    try:
        yield
    except PoolTimeout:
        assert isinstance(pool.conninfo, str)  # noqa: S101 - ours is
        async with await Connection.connect(pool.conninfo):
            raise
    except LostConnectionError:
        await pool.drain()
        raise
    except errors.FeatureNotSupported as error:
        if error.diag.source_function != "RevalidateCachedQuery":
            raise
        await pool.drain()
        msg = "the tables were changed meanwhile, by `unified migrate` perhaps; it is undone, try again"
        raise BusyError(msg) from error
