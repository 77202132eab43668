"""A reader for one question or one session: made for it, and removed after it."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from unified.store.database import Database
from unified.store.errors import RoleError
from unified.store.readers import roles
from unified.store.server.roles import READER_ROLE
from unified.store.sessions import Session

PREFIX = "unified_reader_"
"""What the names of such logins begin with."""

# A reader that its process could not remove, because it was killed, is removed by the next one after this time.
_LIFE = "10 minutes"
_SETTINGS = {
    **roles.SETTINGS,
    "application_name": "unified-assets reader",
    "client_connection_check_interval": "10s",
    "search_path": "public, data",
}


@asynccontextmanager
async def login(db: Database, workspace_id: UUID, *, lasts: str = _LIFE) -> AsyncIterator[str]:
    """Make a reader of one workspace for the length of a block.

    Args:
        db: The database; its login has to be able to make roles.
        workspace_id: What the reader sees.
        lasts: How long the block may take, as an interval of PostgreSQL's.

    Yields:
        The URL that it logs in by, its password included.

    Raises:
        RoleError: If the login of ``DATABASE_URL`` may not make a reader.
        UnreachableError, BusyError, NotMigratedError: If the server fails.
    """
    name, password = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    async with roles.administrator(db) as administrator:
        await _remove_old(administrator)
        await roles.create(administrator, name, password, connections=1, lasts=lasts)
        try:
            async with db.owner() as conn:
                await conn.execute(
                    "INSERT INTO reader_logins (login, workspace) VALUES (%s, %s)", (name, workspace_id)
                )
            yield roles.url_of(db.url, name, password)
        finally:
            async with db.owner() as conn:
                await conn.execute("DELETE FROM reader_logins WHERE login = %s", (name,))
            await roles.remove(administrator, name)


@asynccontextmanager
async def connect(db: Database, workspace_id: UUID) -> AsyncIterator[AsyncConnection[Any]]:
    """Log in as a reader of one workspace, made for this block alone.

    Args:
        db: The database; its login has to be able to make roles.
        workspace_id: What the reader sees.

    Yields:
        A connection of the reader's own, in autocommit.

    Raises:
        RoleError: If there can be no reader, or the server does not let it in.
        UnreachableError, BusyError, NotMigratedError: If the server fails.
    """
    async with login(db, workspace_id) as url, await _log_in(url) as reader:
        yield reader


async def _log_in(url: str) -> AsyncConnection[Any]:
    try:
        reader = await Session.connect(url, autocommit=True)
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


async def _remove_old(administrator: AsyncConnection[Any]) -> None:
    rows = await administrator.execute(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) AND rolvaliduntil < now()", (PREFIX,)
    )
    for (name,) in await rows.fetchall():
        await roles.remove(administrator, name)
