"""Readers that stay: logins of people's tools, each of one workspace, until they are revoked or the workspace goes."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors, sql

from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, StoreError
from unified.store.readers import roles
from unified.store.rows import fetch

CONNECTIONS = 10
"""How many sessions a reader may have at once, unless it is granted otherwise."""

_NAME = re.compile(r"(?!unified_|pg_)[a-z][a-z0-9_]{0,62}")
_TAKEN = {"public", "data", "postgres", "none", "unified"}


class ReaderNotFoundError(StoreError):
    """There is no such reader."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no reader {name!r}; `unified db readers` lists those there are")


@dataclass(frozen=True, slots=True)
class Reader:
    """A login that was granted.

    Attributes:
        name: Of the login.
        workspace_id: What it reads.
        granted_by: Who granted it first.
        granted_at: When.
        connections: How many sessions it may have at once.
        sessions: How many it has now.
        own_schema: Whether it has a schema of its own, of its name, to write to.
    """

    name: str
    workspace_id: UUID
    granted_by: str
    granted_at: datetime
    connections: int
    sessions: int
    own_schema: bool


async def grant(
    db: Database,
    workspace_id: UUID,
    name: str,
    *,
    connections: int = CONNECTIONS,
    own_schema: bool = False,
    actor: str = "unified",
) -> Secret:
    """Let a login read a workspace; one that does already is given a new password.

    Args:
        db: The database; its login has to be able to make roles.
        workspace_id: What it reads.
        name: Of the login. All logins of the server see each other's names.
        connections: How many sessions it may have at once.
        own_schema: Whether it gets a schema of its own, of its name, to make tables and views in, as dbt does.
        actor: Who grants it, for the audit log.

    Returns:
        Its new password, which is kept nowhere.

    Raises:
        InvalidSettingError: If the name can't be a login's.
        DuplicateNameError: If the server has such a login, or one that reads another workspace.
        RoleError: If the login of ``DATABASE_URL`` may not make logins.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise InvalidSettingError(
            f"{name!r} can't be the name of a reader: use 1 to 63 lower-case letters, digits and underscores, a letter "
            "first; names of PostgreSQL's and of this product are taken"
        )
    password = secrets.token_urlsafe(24)
    async with roles.administrator(db) as conn:
        await _sweep(conn)
        async with conn.transaction():
            if await _reads(conn, name, workspace_id):
                await roles.set_password(conn, name, password)
            else:
                await _create(conn, name, password, connections)
                await roles.as_owner(
                    conn,
                    "INSERT INTO reader_logins (login, workspace, granted_by) VALUES (%s, %s, %s)",
                    *(name, workspace_id, actor),
                )
            await _set(conn, name, connections, own_schema=own_schema)
            detail = {"reader": name, "connections": connections, "own_schema": own_schema}
            await _log(conn, workspace_id, "reader.grant", name, actor, detail)
    return Secret(password)


async def revoke(db: Database, name: str, *, actor: str = "unified") -> bool:
    """Take a reader's right, end its sessions and remove it with all that belongs to it.

    Args:
        db: The database; its login has to be able to remove the reader's.
        name: Of the login.
        actor: Who revokes it, for the audit log.

    Returns:
        Whether its login is gone as well. If not, it reads nothing any more, and the reason was logged.

    Raises:
        ReaderNotFoundError: If there is none.
    """
    async with roles.administrator(db) as conn:
        async with conn.transaction():
            rows = await roles.as_owner(
                conn,
                "SELECT workspace FROM reader_logins WHERE login = %s AND granted_by IS NOT NULL FOR UPDATE",
                name,
            )
            if not rows or rows[0][0] is None:
                raise ReaderNotFoundError(name)
            await roles.as_owner(conn, "UPDATE reader_logins SET workspace = NULL WHERE login = %s", name)
            await _log(conn, rows[0][0], "reader.revoke", name, actor, {"reader": name})
        return name not in await _sweep(conn)


async def listed(db: Database) -> list[Reader]:
    """All readers, of all workspaces, by name."""
    async with db.owner() as conn:
        return await fetch(
            conn,
            Reader,
            """
            SELECT r.login::text AS name, r.workspace AS workspace_id, r.granted_by, r.created_at AS granted_at,
                coalesce(p.rolconnlimit, 0) AS connections,
                (SELECT count(*) FROM pg_stat_activity WHERE usename = r.login) AS sessions,
                EXISTS (SELECT FROM pg_namespace WHERE nspowner = p.oid) AS own_schema
            FROM reader_logins AS r LEFT JOIN pg_roles AS p ON p.rolname = r.login
            WHERE r.granted_by IS NOT NULL AND r.workspace IS NOT NULL ORDER BY 1
            """,
        )


async def find(db: Database, name: str) -> Reader:
    """The reader of that name.

    Raises:
        ReaderNotFoundError: If there is none.
    """
    found = [reader for reader in await listed(db) if reader.name == name]
    if not found:
        raise ReaderNotFoundError(name)
    return found[0]


async def sweep(db: Database) -> list[str]:
    """Remove the logins of readers whose right is gone, those of a removed workspace among them.

    Args:
        db: The database. Where its login may remove none, they stay for somebody who may; they read nothing.

    Returns:
        The names of those that stay; why was logged.
    """
    async with roles.administrator(db) as conn:
        return await _sweep(conn)


async def _sweep(conn: AsyncConnection[Any]) -> list[str]:
    async with conn.transaction():
        rows = await roles.as_owner(conn, "SELECT login FROM reader_logins WHERE workspace IS NULL")
    stay = []
    for (name,) in rows:
        if not await roles.remove(conn, name):
            stay.append(name)
            continue
        async with conn.transaction():
            await roles.as_owner(conn, "DELETE FROM reader_logins WHERE login = %s", name)
    return stay


async def _reads(conn: AsyncConnection[Any], name: str, workspace_id: UUID) -> bool:
    """Whether there is such a reader of this workspace.

    Raises:
        DuplicateNameError: If it is one of another workspace.
    """
    rows = await roles.as_owner(conn, "SELECT workspace FROM reader_logins WHERE login = %s", name)
    if rows and rows[0][0] != workspace_id:
        raise DuplicateNameError(
            f"the reader {name!r} reads another workspace; choose another name, or revoke it first"
        )
    return bool(rows)


async def _create(conn: AsyncConnection[Any], name: str, password: str, connections: int) -> None:
    try:
        await roles.create(conn, name, password, connections=connections)
    except errors.DuplicateObject:
        raise DuplicateNameError(
            f"the server has a login or role {name!r} already, and it is not a reader's; choose another name"
        ) from None


async def _set(conn: AsyncConnection[Any], name: str, connections: int, *, own_schema: bool) -> None:
    """Give a login its limits, and a schema of its own where it is to have one."""
    login = sql.Identifier(name)
    await conn.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(login, sql.Literal(connections)))
    settings = dict(roles.SETTINGS)
    if own_schema:
        settings |= {"default_transaction_read_only": "off", "search_path": f"{name}, data, public"}
        await _create_schema(conn, name)
    for setting, value in settings.items():
        values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
        await conn.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(login, sql.Identifier(setting), values)
        )


async def _create_schema(conn: AsyncConnection[Any], name: str) -> None:
    """Make the schema of a reader's own, unless it has it already, and let it stage what goes there."""
    login = sql.Identifier(name)
    rows = await conn.execute("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s", (name,))
    if (owner := await rows.fetchone()) is None:
        await roles.hold(conn, name)
        await conn.execute(sql.SQL("CREATE SCHEMA {0} AUTHORIZATION {0}").format(login))
    elif owner != (name,):
        raise DuplicateNameError(
            f"the database has a schema {name!r} already, and it is {owner[0]}'s; choose another name"
        )
    database = sql.Identifier(conn.info.dbname)
    await conn.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, login))


async def _log(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    action: str,
    name: str,
    actor: str,
    detail: dict[str, Any],
) -> None:
    await roles.as_app(conn, workspace_id)
    await audit.record(
        conn,
        workspace_id,
        actor=actor,
        action=action,
        subject=f"reader {name}",
        outcome="allowed",
        detail=detail,
    )
