"""Logins that read one workspace and can do nothing else, whatever SQL they are given.

A role that a session takes on by SET ROLE it can also put off again, and a setting that names its workspace it can set
anew. Who logged in stays: so a reader logs in by itself, as a member of ``unified_reader``, and the policies of the
tables ask ``reader_logins`` which workspace that login reads (migration 0008).
"""

import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, Connection, errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from unified.store.database import (
    API_ROLE,
    APP_ROLE,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
    Database,
    clear_errors,
)
from unified.store.errors import RoleError
from unified.store.sessions import Session

STATEMENT_SECONDS = 60
"""How long a reader's statement may take."""

_TEMPORARY = "unified_reader_"
# A reader that its process could not remove, because it was killed, is removed by the next one after this time.
_LIFE = "10 minutes"
_SETTINGS = {
    "application_name": "unified-assets reader",
    "client_connection_check_interval": "10s",
    "default_transaction_read_only": "on",
    "idle_in_transaction_session_timeout": "1min",
    "lock_timeout": "5s",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "timezone": "UTC",
}

_POOLER = ".pooler.supabase.com"

# PostgreSQL lets everybody take advisory locks, and shows their keys to everybody in pg_locks: a reader could hold a
# sync's for as long as a statement may take (https://www.postgresql.org/docs/current/functions-admin.html).
_LOCK_FUNCTIONS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_(xact_)?lock'
"""
_LOCKING_ROLES = (OWNER_ROLE, APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE)

_log = logging.getLogger(__name__)


@asynccontextmanager
async def connect(db: Database, workspace_id: UUID) -> AsyncIterator[AsyncConnection[Any]]:
    """Log in as a reader of one workspace, made for this block alone.

    Args:
        db: The database; its login has to be able to make roles.
        workspace_id: What the reader sees.

    Yields:
        A connection of the reader's own, in autocommit.

    Raises:
        RoleError: If the login of ``DATABASE_URL`` may not make a reader, or the server does not let it in.
        UnreachableError, BusyError, NotMigratedError: If the server fails.
    """
    name, password = f"{_TEMPORARY}{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    with clear_errors("making a reader"):
        async with await Session.connect(db.url, autocommit=True) as administrator:
            await _remove_old(administrator)
            await _make(administrator, name, password)
            try:
                async with db.owner() as conn:
                    await conn.execute(
                        "INSERT INTO reader_logins (login, workspace) VALUES (%s, %s)", (name, workspace_id)
                    )
                async with await _log_in(db.url, name, password) as reader:
                    yield reader
            finally:
                async with db.owner() as conn:
                    await conn.execute("DELETE FROM reader_logins WHERE login = %s", (name,))
                await _remove(administrator, name)


def keep_locks(connection: Connection[Any]) -> None:
    """Let only the app's own roles take advisory locks in this database.

    A superuser's login can do that. Where another one migrates, nothing changes, and `unified doctor` says how.

    Args:
        connection: An administrator's, in autocommit; the roles are there.
    """
    is_super = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone()
    if is_super == (True,):
        functions = [row[0] for row in connection.execute(_LOCK_FUNCTIONS).fetchall()]
        for statement in lock_grants(functions):
            connection.execute(statement.encode())


def lock_grants(functions: Sequence[str]) -> tuple[str, str]:
    """The statements of a superuser's that let only the app's own roles call functions.

    Args:
        functions: Names with the types of their arguments.
    """
    names = ", ".join(functions)
    return (
        f"REVOKE EXECUTE ON FUNCTION {names} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {names} TO {', '.join(_LOCKING_ROLES)}",
    )


async def lock_functions(conn: AsyncConnection[Any]) -> list[str]:
    """Functions that take advisory locks, and that a reader may call."""
    query = f"{_LOCK_FUNCTIONS} AND has_function_privilege(%s, oid, 'EXECUTE') ORDER BY 1"
    rows = await conn.execute(query.encode(), (READER_ROLE,))
    return [row[0] for row in await rows.fetchall()]


async def _make(administrator: AsyncConnection[Any], name: str, password: str) -> None:
    # Hashed here, as statements may be logged there.
    hashed = administrator.pgconn.encrypt_password(
        password.encode(), name.encode(), b"scram-sha-256"
    ).decode()
    row = await (await administrator.execute("SELECT (now() + %s::interval)::text", (_LIFE,))).fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression gives one row
    create = sql.SQL(
        "CREATE ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        " CONNECTION LIMIT 1 PASSWORD {} VALID UNTIL {} IN ROLE {}"
    ).format(sql.Identifier(name), sql.Literal(hashed), sql.Literal(row[0]), sql.Identifier(READER_ROLE))
    try:
        await administrator.execute(create)
    except (errors.InsufficientPrivilege, errors.UndefinedObject) as error:
        login = administrator.info.user
        raise RoleError(
            f"{login} can't make a login that only reads ({error.diag.message_primary}); as an administrator: "
            f"ALTER ROLE {login} CREATEROLE; GRANT {READER_ROLE} TO {login} WITH ADMIN OPTION"
        ) from error


async def _log_in(url: str, name: str, password: str) -> AsyncConnection[Any]:
    try:
        reader = await Session.connect(
            make_conninfo(url, user=_user(url, name), password=password), autocommit=True
        )
    except psycopg.OperationalError as error:
        raise RoleError(
            f"a login that only reads was made, and the server does not let it in ({' '.join(str(error).split())}); "
            f"see that its pg_hba.conf admits members of {READER_ROLE}"
        ) from error
    await reader.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        (list(_SETTINGS), list(_SETTINGS.values())),
    )
    return reader


def _user(url: str, name: str) -> str:
    """The name to log in by: Supabase's pooler finds the project in it.

    https://supabase.com/docs/guides/database/connecting-to-postgres#supavisor-session-mode
    """
    parts = conninfo_to_dict(url)
    _, dot, project = str(parts.get("user") or "").rpartition(".")
    return f"{name}{dot}{project}" if dot and str(parts.get("host")).endswith(_POOLER) else name


async def _remove(administrator: AsyncConnection[Any], name: str) -> None:
    try:
        await administrator.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege) as error:
        _log.warning("the reader %s stays: %s", name, error.diag.message_primary)


async def _remove_old(administrator: AsyncConnection[Any]) -> None:
    rows = await administrator.execute(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) AND rolvaliduntil < now()", (_TEMPORARY,)
    )
    for (name,) in await rows.fetchall():
        await _remove(administrator, name)
