"""Connections to PostgreSQL: which server, which role, which workspace.

Whatever touches a table does so in a transaction that this module opened, as one of five roles:
:meth:`Database.workspace` (one tenant's rows), :meth:`Database.scheduler` (which connections exist, no
record, no secret), :meth:`Database.ingress` (received events go in, none comes out), :meth:`Database.api`
(who asks) and :meth:`Database.owner` (the catalogue). There is no way to a connection without a role,
and a connection that forgot its workspace sees nothing. SQL on particular tables lives with those tables.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from unified.store import poolers
from unified.store.errors import (
    BusyError,
    DatabaseUrlError,
    FullDiskError,
    NewerDatabaseError,
    NotMigratedError,
    RestoredError,
    RoleError,
    ServerVersionError,
    UnreachableError,
)
from unified.store.migrations import HEAD
from unified.store.restored import SAID, is_restored
from unified.store.sessions import SETTINGS, LostConnectionError, Session

APP_ROLE = "unified_app"
SCHEDULER_ROLE = "unified_scheduler"
INGRESS_ROLE = "unified_ingress"
API_ROLE = "unified_api"
OWNER_ROLE = "unified_owner"
READER_ROLE = "unified_reader"
_WORKING_ROLES = (APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE)

OLDEST_SERVER = 15
_SET_PER_GRANT = 160000
POOL_SECONDS = 30.0
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

_RETRY_LATER = (
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.IdleInTransactionSessionTimeout,
)


def database_url() -> str:
    """The database to work with: ``DATABASE_URL``, or else the embedded server, started where need be.

    Returns:
        A ``postgresql://`` URL.

    Raises:
        DatabaseUrlError: If ``DATABASE_URL`` is not a usable PostgreSQL URL.
        UnreachableError: If the embedded server does not start.
    """
    if url := os.environ.get("DATABASE_URL"):
        return check_url(url)
    from unified.store.server import embedded  # noqa: PLC0415 - of no use with a server of one's own

    return embedded.start(embedded.home())


def check_url(url: str) -> str:
    """Refuse a URL that libpq would read differently from what its author meant.

    An unescaped ``@`` or ``/`` in a password moves a part of it into the host or port, and from there into
    error messages (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS).

    Args:
        url: For example ``postgresql://user:password@host:5432/database``.

    Returns:
        The same URL.

    Raises:
        DatabaseUrlError: Without quoting the URL.
    """
    hint = (
        "expected postgresql://user:password@host:5432/database, with %40 for @ and %2F for / in the password"
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {}
    ports = str(parts.get("port", "5432")).split(",")
    if not url.startswith(("postgresql://", "postgres://")) or not parts.get("dbname"):
        msg = f"DATABASE_URL names no PostgreSQL database (not shown, it may hold a password); {hint}"
        raise DatabaseUrlError(msg)
    if "@" in str(parts.get("host", "")) or not all(port.isdigit() for port in ports):
        msg = f"DATABASE_URL has a host or port that can't be (not shown, it may hold a password); {hint}"
        raise DatabaseUrlError(msg)
    return url


def beside(url: str, database: str) -> str:
    """The URL of another database on the same server, reached the same way.

    Args:
        url: As from :func:`database_url`.
        database: Name of the other database.
    """
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


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
        msg = f"{doing}: no connection to PostgreSQL came free or could be made in {POOL_SECONDS:.0f} s"
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


def lacks_database(url: str) -> bool:
    """Whether the server has no database of the name in a URL; False where it can't be asked.

    A login that fails does not say: libpq gives it no error code, and the server's sentence is in its own language.
    """
    name = conninfo_to_dict(url).get("dbname")
    try:
        with psycopg.connect(beside(url, "postgres")) as conn:
            return conn.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None
    except psycopg.Error:
        return False


def _reason(error: psycopg.Error) -> str:
    """One line of what the server or libpq says. Neither repeats a password."""
    return " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())


class _Connection(Session):
    """A session that has the embedded server started again if it was killed."""

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        try:
            return await super().connect(conninfo, **kwargs)
        except psycopg.OperationalError:
            from unified.store.server import embedded  # noqa: PLC0415 - of no use with a server of one's own

            if not await asyncio.to_thread(embedded.revive, conninfo):
                raise
        return await super().connect(conninfo, **kwargs)


_Pool = AsyncConnectionPool[_Connection]


class Database:
    """An open pool of connections to one migrated database. Make one with :meth:`open`."""

    def __init__(self, url: str, pool: _Pool, ingress_pool: _Pool, api_pool: _Pool) -> None:
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
            await _refuse_pooler(connection, url)
            await _check(connection)
        pool = AsyncConnectionPool(
            url,
            connection_class=_Connection,
            min_size=1,
            max_size=max_connections,
            timeout=POOL_SECONDS,
            # Transactions begin by a statement of ours, see _begun.
            kwargs={"autocommit": True},
            configure=_configure,
            open=False,
        )
        ingress_pool = _role_pool(url, INGRESS_ROLE, _INGRESS_CONNECTIONS)
        api_pool = _role_pool(url, API_ROLE, _API_CONNECTIONS)
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
                    _kept_in_use(self._ingress_pool),
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
            async with _kept_in_use(self._api_pool), self._api_pool.connection() as connection:
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
            async with _kept_in_use(self._pool):
                connection = await self._begun(role, workspace)
                try:
                    async with connection:  # commits, or rolls back after an error
                        yield connection
                finally:
                    await self._pool.putconn(connection)

    async def _begun(self, role: str, workspace: UUID | None) -> _Connection:
        """A connection of the pool with a transaction that has just begun, on the tables of this release."""
        begin = _BEGIN.format(role=role, workspace=workspace or "")
        while True:
            connection = await self._pool.getconn()
            try:
                results = await connection.execute(begin.encode(), prepare=False)
                while results.nextset():
                    pass
                _check_revision(connection, await results.fetchone())
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


async def _connect(url: str) -> AsyncConnection[Any]:
    with clear_errors("opening the database"):
        return await _Connection.connect(url)


async def _refuse_pooler(connection: AsyncConnection[Any], url: str) -> None:
    """Nothing else comes before it: the next client of the pooler inherits all settings of a shared session."""
    await connection.set_autocommit(True)
    row = await (await connection.execute(poolers.SERVING)).fetchone()
    await connection.set_autocommit(False)
    if row != (connection.info.backend_pid,):  # something stands between
        with clear_errors("opening the database"):
            await poolers.refuse_shared_sessions(url)


@asynccontextmanager
async def _kept_in_use(pool: _Pool) -> AsyncIterator[None]:
    """Replace a pool's connections once one of them proved to be of no more use, before each fails by itself.

    The link to the server is dead, or the tables changed under the statements that they have prepared: PostgreSQL
    refuses such a statement for as long as its connection lives
    (https://www.postgresql.org/docs/current/sql-prepare.html).
    """
    try:
        yield
    except LostConnectionError:
        await pool.drain()
        raise
    except errors.FeatureNotSupported as error:
        if error.diag.source_function != "RevalidateCachedQuery":
            raise
        await pool.drain()
        msg = "the tables were changed meanwhile, by `unified migrate` perhaps; it is undone, try again"
        raise BusyError(msg) from error


async def _configure(connection: AsyncConnection[Any], role: str = APP_ROLE) -> None:
    """Prepare a pooled connection: time limits, and the app's role for whatever forgets to take one on."""
    settings = {**SETTINGS, "role": role}
    await connection.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        (list(settings), list(settings.values())),
    )
    await connection.commit()


def _role_pool(url: str, role: str, connections: int) -> _Pool:
    """A pool whose connections keep one role and commit each statement by itself.

    Nothing is connected before the first use. A connection that broke is not found out beforehand, which would cost
    each use a round trip: that use fails, and the sender of the request comes again.
    """
    return AsyncConnectionPool(
        url,
        connection_class=_Connection,
        min_size=0,
        max_size=connections,
        timeout=POOL_SECONDS,
        kwargs={"autocommit": True, "prepare_threshold": 0},
        configure=partial(_configure, role=role),
        open=False,
    )


def may_act(server_version: int) -> str:
    """What ``pg_has_role`` is asked to find out whether SET ROLE works; a membership may exclude it from 16 on."""
    return "SET" if server_version >= _SET_PER_GRANT else "MEMBER"


def grant(conn: AsyncConnection[Any], role: str) -> str:
    """The statement that lets the login of a connection act as a role."""
    how = " WITH SET TRUE" if may_act(conn.info.server_version) == "SET" else ""
    return f"GRANT {role} TO {conn.info.user}{how}"


async def _check(connection: AsyncConnection[Any]) -> None:
    """See that the database is what the rest takes for granted."""
    if connection.info.server_version < OLDEST_SERVER * 10000:
        msg = (
            f"PostgreSQL {connection.info.server_version // 10000} is too old: "
            f"DATABASE_URL must lead to version {OLDEST_SERVER} or newer"
        )
        raise ServerVersionError(msg)
    roles = await (
        await connection.execute(
            """
            SELECT rolname, rolsuper OR rolbypassrls, pg_has_role(oid, %(may_act)s)
            FROM pg_roles WHERE rolname = ANY(%(roles)s) ORDER BY array_position(%(roles)s, rolname::text)
            """,
            {"roles": list(_WORKING_ROLES), "may_act": may_act(connection.info.server_version)},
        )
    ).fetchall()
    if len(roles) < len(_WORKING_ROLES):
        msg = "this PostgreSQL server has no tables of Unified Assets yet; run `unified migrate`"
        raise NotMigratedError(msg)
    for role, is_unbound, is_member in roles:
        if is_unbound:
            msg = f"role {role} is a superuser or has BYPASSRLS and would see every workspace; take that away"
            raise RoleError(msg)
        if not is_member:
            msg = (
                f"{connection.info.user} can't act as {role}; as an administrator: {grant(connection, role)}"
            )
            raise RoleError(msg)
    try:
        await connection.execute("SELECT set_config('role', %s, true)", (APP_ROLE,))
        row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
    except (errors.UndefinedTable, errors.InsufficientPrivilege):
        row = None
    _check_revision(connection, row)
    await connection.execute("SELECT set_config('role', %s, true)", (SCHEDULER_ROLE,))
    if await is_restored(connection):
        raise RestoredError(f"the database {connection.info.dbname} can't be used yet: {SAID}")


def _check_revision(connection: AsyncConnection[Any], row: tuple[str] | None) -> None:
    """See that the tables are those of this release; they may be migrated while this process runs."""
    if row and row[0] > HEAD:
        raise NewerDatabaseError(connection.info.dbname, row[0], HEAD)
    if row is None or row[0] != HEAD:
        msg = (
            f"the database {connection.info.dbname} is at revision {row[0] if row else 'none'}, "
            f"this release needs {HEAD}; run `unified migrate`"
        )
        raise NotMigratedError(msg)
