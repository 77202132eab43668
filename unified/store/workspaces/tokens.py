"""API tokens: what a machine shows instead of a JWT. Only their hashes are kept.

A token of a workspace (``uat_…``) opens that workspace, within its scopes. A token of the deployment (``uad_…``) opens
none: it makes workspaces and reads metrics. Who may make one with which scopes is decided where permissions are:
`unified.store.workspaces.permissions` and the API.
"""

import asyncio
import hashlib
import re
import secrets as randomness
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors

from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch
from unified.store.workspaces.rows import WorkspaceNotFoundError

CACHE_SECONDS = 2.0
"""How long a token that was revoked may go on being good in another process."""

_MOST_CACHED = 10_000

# 32 bytes are 256 random bits.
_SECRET_BYTES = 32
_WORKSPACE, _DEPLOYMENT = "uat", "uad"
_FORM = re.compile(r"(?:uat|uad)_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")

_TOKENS = "SELECT id, name, prefix, scopes, created_by, created_at, expires_at, last_used_at, revoked_at FROM"


class TokenNotFoundError(StoreError):
    """There is no such token, or not in this workspace."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no API token {which}")


class InvalidTokenError(StoreError):
    """A token's name, scopes or expiry are not usable."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What may be shown of a token.

    Attributes:
        id: Its row.
        name: What it is for.
        prefix: Its beginning, which is not part of its secret.
        scopes: Permissions that it has.
        created_by: Who made it.
        created_at: When.
        expires_at: When it stops being good; None never.
        last_used_at: When it was last used, to the minute.
        revoked_at: When it was revoked.
    """

    id: UUID
    name: str
    prefix: str
    scopes: Sequence[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that somebody has just shown, and that is good.

    Attributes:
        id: Its row.
        name: What it is for.
        scopes: Permissions that it has.
        workspace_id: The workspace that it opens; None for one of the deployment.
        workspace: That workspace's slug.
        expires_at: When it stops being good; None never.
    """

    id: UUID
    name: str
    scopes: frozenset[str]
    workspace_id: UUID | None
    workspace: str | None
    expires_at: datetime | None


async def create(
    db: Database,
    workspace_id: UUID | None,
    name: str,
    scopes: Sequence[str],
    *,
    expires_at: datetime | None = None,
    actor: str,
) -> tuple[ApiToken, Secret]:
    """Make a token.

    Args:
        db: The database.
        workspace_id: The workspace that it opens; None for a token of the deployment.
        name: What it is for: 1 to 100 characters.
        scopes: Permissions that it has, at least one.
        expires_at: When it stops being good, with a time zone; None never.
        actor: Who makes it.

    Returns:
        What is kept, and the token itself, which can't be had again.

    Raises:
        InvalidTokenError: If the name, the scopes or the expiry are not usable.
        WorkspaceNotFoundError: If there is no such workspace.
    """
    if not scopes:
        raise InvalidTokenError("a token needs at least one scope")
    if not 1 <= len(name) <= 100 or not name.isprintable():  # noqa: PLR2004 - as the table has it
        raise InvalidTokenError("a token's name has 1 to 100 printable characters")
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise InvalidTokenError("a token's expiry lies in the future, and has a time zone")
    prefix = f"{_DEPLOYMENT if workspace_id is None else _WORKSPACE}_{randomness.token_hex(4)}"
    token = f"{prefix}_{randomness.token_urlsafe(_SECRET_BYTES)}"
    row = {
        "name": name,
        "prefix": prefix,
        "hash": _hash(token),
        "scopes": sorted(set(scopes)),
        "actor": actor,
        "expires_at": expires_at,
        "workspace": workspace_id,
    }
    values = "%(name)s, %(prefix)s, %(hash)s, %(scopes)s, %(actor)s, %(expires_at)s"
    columns = "name, prefix, token_hash, scopes, created_by, expires_at"
    if workspace_id is None:
        async with db.owner() as conn:
            await conn.execute(f"INSERT INTO admin_tokens ({columns}) VALUES ({values})", row)  # noqa: S608
            made = await fetch(conn, ApiToken, f"{_TOKENS} admin_tokens WHERE prefix = %(it)s", it=prefix)
            await _record(conn, None, actor, "token.create", made[0])
        return made[0], Secret(token)
    async with db.workspace(workspace_id) as conn:
        try:
            await conn.execute(
                f"INSERT INTO api_tokens (workspace_id, {columns}) VALUES (%(workspace)s, {values})",  # noqa: S608
                row,
            )
        except errors.ForeignKeyViolation:
            raise WorkspaceNotFoundError(workspace_id) from None
        made = await fetch(conn, ApiToken, f"{_TOKENS} api_tokens WHERE prefix = %(it)s", it=prefix)
        await _record(conn, workspace_id, actor, "token.create", made[0])
    return made[0], Secret(token)


async def listed(
    db: Database, workspace_id: UUID | None, *, after: UUID | None = None, limit: int = 1_000
) -> list[ApiToken]:
    """Tokens of a workspace, or with None those of the deployment, in the order of their ids.

    Args:
        db: The database.
        workspace_id: The workspace.
        after: Id of the last one of the page before.
        limit: Tokens per page.
    """
    table = "admin_tokens" if workspace_id is None else "api_tokens"
    condition = "WHERE %(after)s::uuid IS NULL OR id > %(after)s ORDER BY id LIMIT %(limit)s"
    async with db.owner() if workspace_id is None else db.workspace(workspace_id) as conn:
        return await fetch(conn, ApiToken, f"{_TOKENS} {table} {condition}", after=after, limit=limit)


async def revoke(db: Database, workspace_id: UUID | None, token_id: UUID, *, actor: str) -> ApiToken:
    """Make a token useless, for good. Once more changes nothing.

    Args:
        db: The database.
        workspace_id: Its workspace; None for a token of the deployment.
        token_id: The token.
        actor: Who revokes it, for the audit log.

    Raises:
        TokenNotFoundError: If there is no such token there.
    """
    table = "admin_tokens" if workspace_id is None else "api_tokens"
    async with db.owner() if workspace_id is None else db.workspace(workspace_id) as conn:
        done = await conn.execute(
            f"UPDATE {table} SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL",  # noqa: S608 - constant
            (token_id,),
        )
        found = await fetch(conn, ApiToken, f"{_TOKENS} {table} WHERE id = %(id)s", id=token_id)
        if not found:
            raise TokenNotFoundError(token_id)
        if done.rowcount:
            await _record(conn, workspace_id, actor, "token.revoke", found[0])
    return found[0]


async def revoke_beyond(
    conn: AsyncConnection[Any], workspace_id: UUID, maker: str, permitted: Sequence[str], *, actor: str
) -> None:
    """Revoke those tokens that a member made and that may do more than the member still may.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        maker: Who made them.
        permitted: Permissions that the member has left.
        actor: Who takes the others away, for the audit log.
    """
    revoked = await conn.execute(
        """
        UPDATE api_tokens SET revoked_at = now()
        WHERE created_by = %s AND revoked_at IS NULL AND NOT scopes <@ %s RETURNING id
        """,
        (maker, list(permitted)),
    )
    for (token_id,) in await revoked.fetchall():
        found = await fetch(conn, ApiToken, f"{_TOKENS} api_tokens WHERE id = %(id)s", id=token_id)
        await _record(conn, workspace_id, actor, "token.revoke", found[0])


class TokenLookup:
    """Finds out which token somebody shows, for each request of the API; remembers it for :data:`CACHE_SECONDS`."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look in ``db``; ``clock`` counts seconds."""
        self._db = db
        self._clock = clock
        self._cached: OrderedDict[bytes, tuple[float, asyncio.Task[KnownToken | None]]] = OrderedDict()

    async def find(self, token: str) -> KnownToken | None:
        """The token, if it is good: known, not revoked, not expired.

        However many ask at once for one token, the database is asked once.

        Raises:
            StoreError: If that can't be said now.
        """
        if not _FORM.fullmatch(token):
            return None
        token_hash, now = _hash(token), self._clock()
        until, task = self._cached.get(token_hash, (now, None))
        if task is None or until <= now:
            task = asyncio.create_task(self._load(token_hash, is_admin=token.startswith(_DEPLOYMENT)))
            self._cached[token_hash] = (now + CACHE_SECONDS, task)
            while len(self._cached) > _MOST_CACHED:
                self._cached.popitem(last=False)
        self._cached.move_to_end(token_hash)
        try:
            known = await asyncio.shield(task)  # a caller that hangs up must not end it for the others
        except Exception:
            self._cached.pop(token_hash, None)
            raise
        if known is None:
            self._cached.pop(token_hash, None)  # what was made up is not worth remembering
        elif known.expires_at is not None and known.expires_at <= datetime.now(UTC):
            return None
        return known

    def forget(self) -> None:
        """Ask the database again for every token: this process has just revoked one."""
        self._cached.clear()

    async def _load(self, token_hash: bytes, *, is_admin: bool) -> KnownToken | None:
        table, joined = (
            ("admin_tokens", "NULL::uuid, NULL::text, {} FROM admin_tokens AS t")
            if is_admin
            else (
                "api_tokens",
                "t.workspace_id, w.slug, {} FROM api_tokens AS t JOIN workspaces AS w ON w.id = t.workspace_id",
            )
        )
        columns = joined.format(
            "t.expires_at, t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 min'"
        )
        async with self._db.api() as conn:
            rows = await conn.execute(
                f"""
                SELECT t.id, t.name, t.scopes, {columns}
                WHERE t.token_hash = %s AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
                """,
                (token_hash,),
            )
            if (row := await rows.fetchone()) is None:
                return None
            *known, is_noteworthy = row
            if is_noteworthy:
                await conn.execute(
                    f"UPDATE {table} SET last_used_at = now() WHERE id = %s AND revoked_at IS NULL",  # noqa: S608
                    (known[0],),
                )
        token_id, name, scopes, *rest = known
        return KnownToken(token_id, name, frozenset(scopes), *rest)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def _record(
    conn: AsyncConnection[Any], workspace_id: UUID | None, actor: str, action: str, token: ApiToken
) -> None:
    """Into the workspace's log, or for a token of the deployment into that one's."""
    subject = f"token {token.id}"
    detail = {"name": token.name, "prefix": token.prefix, "scopes": list(token.scopes)}
    if workspace_id is None:
        await audit.record_of_deployment(conn, actor=actor, action=action, subject=subject, detail=detail)
        return
    await audit.record(
        conn, workspace_id, actor=actor, action=action, subject=subject, outcome="allowed", detail=detail
    )
