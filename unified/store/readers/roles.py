"""The login of a reader at the server: made, given its limits, removed again.

A role that a session takes on by SET ROLE it can also put off again, and a setting that names its workspace it can set
anew. Who logged in stays: so a reader logs in by itself, as a member of ``unified_reader``, and the policies of the
tables ask ``reader_logins`` which workspace that login reads (migration 0008).
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from uuid import UUID

from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict

from unified.store.database import Database
from unified.store.errors import RoleError
from unified.store.server.failures import clear_errors
from unified.store.server.roles import APP_ROLE, OWNER_ROLE, READER_ROLE
from unified.store.sessions import Session

STATEMENT_SECONDS = 60
"""How long a statement of a reader may take."""

SETTINGS: Mapping[str, str] = {
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "1min",
    "lock_timeout": "5s",
    "search_path": "data, public",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "timezone": "UTC",
}
"""What holds for a reader's session from its start. The session may change it; what it may not is in its rights."""

_POOLER = ".pooler.supabase.com"
_END_MILLISECONDS = 5_000
_SET_PER_GRANT = 160000

_log = logging.getLogger(__name__)


@asynccontextmanager
async def administrator(db: Database) -> AsyncIterator[AsyncConnection[Any]]:
    """A session of the login of ``DATABASE_URL``, in autocommit, for what only that login may: making logins.

    Raises:
        UnreachableError, BusyError, NotMigratedError: If the server fails.
    """
    with clear_errors("making or removing a reader"):
        async with await Session.connect(db.url, autocommit=True) as conn:
            yield conn


async def act_as(conn: AsyncConnection[Any], role: str | None, workspace_id: UUID | None = None) -> None:
    """For the rest of a transaction, work as one of the working roles; None is the login itself again."""
    await conn.execute(
        "SELECT set_config('role', %s, true), set_config('app.workspace_id', %s, true)",
        (role or "none", str(workspace_id or "")),
    )


async def as_owner(conn: AsyncConnection[Any], statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement on ``reader_logins``, which only the owner sees, within an administrator's transaction."""
    await act_as(conn, OWNER_ROLE)
    cursor = await conn.execute(statement.encode(), values)
    rows = await cursor.fetchall() if cursor.description else []
    await act_as(conn, None)
    return rows


async def as_app(conn: AsyncConnection[Any], workspace_id: UUID) -> None:
    """Work inside a workspace for the rest of an administrator's transaction."""
    await act_as(conn, APP_ROLE, workspace_id)


async def create(
    conn: AsyncConnection[Any], name: str, password: str, *, connections: int, lasts: str | None = None
) -> None:
    """Make the login of a reader.

    Args:
        conn: An administrator's.
        name: Of the login.
        password: Of the login; the server is sent its hash, as statements may be logged there.
        connections: How many sessions it may have at once.
        lasts: For how long it may log in, as an interval of PostgreSQL's; None is for ever.

    Raises:
        psycopg.errors.DuplicateObject: If the server has a role of that name.
        RoleError: If the administrator may not make logins.
    """
    rows = await conn.execute("SELECT coalesce((now() + %s::interval)::text, 'infinity')", (lasts,))
    ((until,),) = await rows.fetchall()
    statement = sql.SQL(
        "CREATE ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        " CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {} IN ROLE {}"
    ).format(
        sql.Identifier(name),
        sql.Literal(connections),
        sql.Literal(_hashed(conn, name, password)),
        sql.Literal(until),
        sql.Identifier(READER_ROLE),
    )
    try:
        await conn.execute(statement)
    except (errors.InsufficientPrivilege, errors.UndefinedObject) as error:
        login = conn.info.user
        raise RoleError(
            f"{login} can't make a login that only reads ({error.diag.message_primary}); as an administrator: "
            f"ALTER ROLE {login} CREATEROLE; GRANT {READER_ROLE} TO {login} WITH ADMIN OPTION"
        ) from error


async def set_password(conn: AsyncConnection[Any], name: str, password: str) -> None:
    """Give a login another password; sessions that are open stay."""
    await conn.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(name), sql.Literal(_hashed(conn, name, password))
        )
    )


async def hold(conn: AsyncConnection[Any], name: str) -> None:
    """Let the administrator act for a reader's login, as it has to where something belongs to that login."""
    rows = await conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user")
    if await rows.fetchone() != (True,):
        how = " WITH INHERIT TRUE, SET TRUE" if conn.info.server_version >= _SET_PER_GRANT else ""
        await conn.execute(sql.SQL(f"GRANT {{}} TO SESSION_USER{how}").format(sql.Identifier(name)))


async def remove(conn: AsyncConnection[Any], name: str) -> bool:
    """Remove a login with all that belongs to it, and end its sessions.

    Args:
        conn: An administrator's, outside of a transaction.
        name: Of the login.

    Returns:
        Whether the server has no such login any more; if not, the reason was logged.
    """
    login = sql.Identifier(name)
    try:
        async with conn.transaction():
            await hold(conn, name)
            await conn.execute(
                "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE usename = %s",
                (_END_MILLISECONDS, name),
            )
            await conn.execute(sql.SQL("DROP OWNED BY {}").format(login))
            await conn.execute(sql.SQL("DROP ROLE {}").format(login))
    except errors.UndefinedObject:
        return True
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege) as error:
        _log.warning("the login of the reader %s stays: %s", name, error.diag.message_primary)
        return False
    return True


def url_of(url: str, name: str, password: str | None = None) -> str:
    """The URL by which a reader logs in.

    Args:
        url: Of the same database, for another login.
        name: Of the reader's login.
        password: Its password; left out where it is None.
    """
    parts = urlsplit(url)
    secret = f":{quote(password, safe='')}" if password else ""
    place = parts.netloc.rpartition("@")[2]
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password")]
    return urlunsplit(
        parts._replace(
            netloc=f"{quote(_user(url, name), safe='')}{secret}@{place}",
            query=urlencode(query, safe="/", quote_via=quote),
        )
    )


def _user(url: str, name: str) -> str:
    """The name to log in by: Supabase's pooler finds the project in it.

    https://supabase.com/docs/guides/database/connecting-to-postgres#supavisor-session-mode
    """
    parts = conninfo_to_dict(url)
    _, dot, project = str(parts.get("user") or "").rpartition(".")
    return f"{name}{dot}{project}" if dot and str(parts.get("host")).endswith(_POOLER) else name


def _hashed(conn: AsyncConnection[Any], name: str, password: str) -> str:
    return conn.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
