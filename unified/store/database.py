"""The open database: transactions on it, each in a role.

Whatever touches a table does so in a transaction that this module opened, as one of five roles:
:meth:`Database.workspace` (one tenant's rows), :meth:`Database.scheduler` (which connections exist, no
record, no secret), :meth:`Database.ingress` (received events go in, none comes out), :meth:`Database.api`
(who asks) and :meth:`Database.owner` (the catalogue). There is no way to a connection without a role,
and a connection that forgot its workspace sees nothing. SQL on particular tables lives with those tables.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql

from unified.store.errors import NotMigratedError, UnreachableError
from unified.store.server.checks import check, check_revision, refuse_pooler
from unified.store.server.failures import clear_errors
from unified.store.server.pools import Connection, Pool, kept_in_use, role_pool, shared_pool
from unified.store.server.roles import API_ROLE, APP_ROLE, INGRESS_ROLE, OWNER_ROLE, SCHEDULER_ROLE
from unified.store.server.urls import check_url, database_url
from unified.store.sessions import LostConnectionError

_INGRESS_CONNECTIONS = 4
_API_CONNECTIONS = 4
# Some providers wait 3 s for an answer. Before they give up, they are answered that they should come again.
INGRESS_SECONDS = 2.5
_UNLOCK_SECONDS = 2.5

# In one round trip. Both values are of a form that needs no quoting.
_BEGIN = """
    BEGIN; SET LOCAL ROLE {role}; SET LOCAL app.workspace_id = '{workspace}';
    SELECT version_num FROM public.alembic_version
"""


class Database:
    """An open pool of connections to one migrated database. Make one with :meth:`open`."""

    def __init__(self, url: str, pool: Pool, ingress_pool: Pool, api_pool: Pool) -> None:
        """Use :meth:`open`, which makes the pools and checks what they lead to."""
        self.url = url
        self._pool = pool
        self._ingress_pool = ingress_pool
        self._api_pool = api_pool

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str | None = None, *, max_connections: int = 8) -> AsyncIterator[Self]:
        """Open the database for the length of an ``async with``.

        Args:
            url: A ``postgresql://`` URL; by default what :func:`database_url` says.
            max_connections: Size that the pool may grow to.

        Yields:
            The database, migrated and safe to use.

        Raises:
            UnreachableError: If the server can't be reached.
            ServerVersionError: If it is older than PostgreSQL 15.
            NotMigratedError: If its tables are not yet those of this release.
            NewerDatabaseError: If they are those of a later one.
            PoolerError: If a pooler would give each transaction another session.
            RestoredError: If they are from a dump of another server.
            RoleError: If the roles are missing or would break isolation.
        """
        url = check_url(url) if url else await asyncio.to_thread(database_url)
        async with await _connect(url) as connection:
            await refuse_pooler(connection, url)
            await check(connection)
        pool = shared_pool(url, max_connections)
        ingress_pool = role_pool(url, INGRESS_ROLE, _INGRESS_CONNECTIONS)
        api_pool = role_pool(url, API_ROLE, _API_CONNECTIONS)
        async with pool, ingress_pool, api_pool:
            yield cls(url, pool, ingress_pool, api_pool)

    @asynccontextmanager
    async def workspace(self, workspace_id: UUID) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction that sees and changes one workspace's rows. Commits at its end, not on an error.

        Raises:
            UnreachableError, BusyError: If the server fails; then nothing was changed.
            NotMigratedError: If the tables are no longer those of this release; then nothing was begun.
        """
        async with self._transaction(APP_ROLE, UUID(str(workspace_id))) as connection:
            yield connection

    @asynccontextmanager
    async def no_workspace(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction like that of a workspace, in which none is chosen yet: no row of any can be seen."""
        async with self._transaction(APP_ROLE) as connection:
            yield connection

    @asynccontextmanager
    async def scheduler(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction that sees which connections exist in all workspaces; no record and no secret."""
        async with self._transaction(SCHEDULER_ROLE) as connection:
            yield connection

    @asynccontextmanager
    async def ingress(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection that finds webhook endpoints and adds to any workspace's inbox, and reads no event.

        Each statement commits by itself, in a single round trip: deliveries are answered after it.

        Raises:
            UnreachableError, BusyError, NotMigratedError: If the server fails, or takes longer than INGRESS_SECONDS; it
                may have committed all the same.
        """
        with clear_errors("using the inbox"):
            try:
                async with (
                    asyncio.timeout(INGRESS_SECONDS),
                    kept_in_use(self._ingress_pool),
                    self._ingress_pool.connection() as connection,
                ):
                    yield connection
            except TimeoutError as error:
                raise UnreachableError(
                    f"using the inbox: no answer in {INGRESS_SECONDS} s; try again"
                ) from error

    @asynccontextmanager
    async def api(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection that finds out who asks: a subject's memberships, a token's workspace; nothing else.

        Each statement commits by itself, in a single round trip: every request of the API begins with one.

        Raises:
            UnreachableError, BusyError, NotMigratedError: If the server fails.
        """
        with clear_errors("finding out who asks"):
            async with kept_in_use(self._api_pool), self._api_pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def owner(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction that may change the catalogue of connectors. It sees no workspace's rows."""
        async with self._transaction(OWNER_ROLE) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(
        self, role: str, workspace: UUID | None = None
    ) -> AsyncIterator[AsyncConnection[Any]]:
        with clear_errors("using the database"):
            async with kept_in_use(self._pool):
                connection = await self._begun(role, workspace)
                try:
                    async with connection:  # commits, or rolls back after an error
                        yield connection
                finally:
                    await self._pool.putconn(connection)

    async def _begun(self, role: str, workspace: UUID | None) -> Connection:
        """A connection of the pool with a transaction that has just begun, on the tables of this release."""
        begin = _BEGIN.format(role=role, workspace=workspace or "")
        while True:
            connection = await self._pool.getconn()
            try:
                results = await connection.execute(begin.encode(), prepare=False)
                while results.nextset():
                    pass
                check_revision(connection, await results.fetchone())
            except BaseException as error:
                if isinstance(error, NotMigratedError):
                    await connection.rollback()
                await self._pool.putconn(connection)
                # The server went away since the last use, and nothing was done yet: another connection will do, and
                # where there is none the pool says so in time. One that fell silent has been waited for enough.
                if not (isinstance(error, psycopg.OperationalError) and connection.broken) or isinstance(
                    error, LostConnectionError
                ):
                    raise
            else:
                return connection

    async def clock(self, *, not_before: datetime | None = None) -> Callable[[], datetime]:
        """A clock set by the server's, which all writers share, and that never goes back.

        Args:
            not_before: The least it may show, where the server's own clock was set back meanwhile.

        Returns:
            A function that returns the time without asking the server again.
        """
        async with self._transaction(APP_ROLE) as connection:
            row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None  # noqa: S101 - SELECT of an expression gives one row
        start, since = max(row[0], not_before or row[0]), time.monotonic()
        return lambda: start + timedelta(seconds=time.monotonic() - since)

    @asynccontextmanager
    async def exclusive(self, key: str) -> AsyncIterator[bool]:
        """Hold a named lock that one process at a time can have, on a connection of its own.

        The server frees it when the block or the process ends, however that happens.

        Args:
            key: What is locked, for example ``sync/<connection>/customers``.

        Yields:
            True while the lock is held; False, without waiting, where another process has it.
        """
        with clear_errors(f"locking {key}"):
            async with await _connect(self.url) as connection:
                await connection.set_autocommit(True)
                # Not every login may take locks: a reader's may not.
                await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(APP_ROLE)))
                row = await (
                    await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,))
                ).fetchone()
                try:
                    yield bool(row and row[0])
                finally:
                    # The server frees the lock of a connection that is closed, but only a moment later.
                    with suppress(psycopg.OperationalError, TimeoutError):
                        async with asyncio.timeout(_UNLOCK_SECONDS):
                            await connection.execute("SELECT pg_advisory_unlock_all()")


async def _connect(url: str) -> Connection:
    with clear_errors("opening the database"):
        return await Connection.connect(url)
