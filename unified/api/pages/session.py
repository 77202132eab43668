"""Staying signed in: a cookie that holds an API token, encrypted, and links for signing in once.

Nothing is stored for a session until it ends. Its cookie is sealed under the workspace's data key, so that every
process of an installation can open it and nobody else. With each request the token inside is looked up again, and
whether somebody has signed out: a copy of the cookie is worth nothing afterwards. Looking writes nothing, whatever the
cookie holds.
"""

import hashlib
import json
import secrets as randomness
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from cryptography.fernet import InvalidToken
from psycopg import AsyncConnection

from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.database import Database
from unified.store.idempotency import Answers, Attempt, KeyReusedError, Place, UnderWayError
from unified.store.secrets import data_keys
from unified.store.secrets.keys import KeyProvider
from unified.store.workspaces import tokens
from unified.store.workspaces.permissions import PERMISSIONS, Role

Purpose = Literal["session", "link"]

LIFETIMES: dict[Purpose, timedelta] = {"session": timedelta(hours=12), "link": timedelta(minutes=10)}
"""How long what is sealed holds."""

INSTALLATION = "installation"
"""The reach of a session that may go on to every workspace."""

TOKEN_NAME = "unified sign-in"  # noqa: S105 - a name
"""Of the tokens behind sessions that nobody pasted one for."""

_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in, or may sign in by a link.

    Attributes:
        workspace_id: The workspace.
        token: The API token that they have shown.
        nonce: Random: what a session's forms have to carry, and what a link is recognised by.
        reach: Whose other workspaces it may go on to: :data:`INSTALLATION` for all there are, ``user:<subject>`` for
            those of a member; None for none.
    """

    workspace_id: UUID
    token: Secret
    nonce: Secret
    reach: str | None = None

    @classmethod
    def begin(cls, workspace_id: UUID, token: Secret, reach: str | None = None) -> "Session":
        """A new one."""
        return cls(workspace_id, token, Secret(new_nonce()), reach)


class Sessions:
    """Seals and opens sessions."""

    def __init__(self, db: Database, provider: KeyProvider) -> None:
        """Seal by the data keys in ``db``, which ``provider`` unwraps."""
        self._db = db
        self._provider = provider

    async def seal(self, session: Session, purpose: Purpose) -> str:
        """A session as text for a cookie or a link."""
        async with self._db.workspace(session.workspace_id) as conn:
            data_key = await data_keys.current(conn, self._provider, session.workspace_id)
        cipher = data_key.cipher(_purpose(purpose, session.workspace_id))
        plain = json.dumps([session.token.reveal(), session.nonce.reveal(), session.reach])
        return f"{session.workspace_id.hex}.{cipher.encrypt(plain.encode()).decode()}"

    async def open(self, sealed: str, purpose: Purpose) -> Session | None:
        """What was sealed for this purpose and still holds; None for anything else."""
        workspace, _, encrypted = sealed.partition(".")
        if len(sealed) > _LONGEST or not encrypted.isascii():
            return None
        try:
            workspace_id = UUID(workspace)
        except ValueError:
            return None
        async with self._db.workspace(workspace_id) as conn:
            data_key = await data_keys.stored(conn, self._provider)
            if data_key is None:
                return None
            try:
                plain = data_key.cipher(_purpose(purpose, workspace_id)).decrypt(
                    encrypted.encode(), ttl=int(LIFETIMES[purpose].total_seconds())
                )
            except InvalidToken:  # not ours, or too old
                return None
            token, nonce, *reach = json.loads(plain)  # a former release kept no reach
            session = Session(workspace_id, Secret(token), Secret(nonce), *reach)
            ended = await conn.execute(
                "SELECT FROM ended_sessions WHERE session_hash = %s", (_hash(session),)
            )
            return None if ended.rowcount else session

    async def end(self, session: Session, actor: str | None) -> None:
        """End a session, for every process and every copy of its cookie. Once more changes nothing.

        Args:
            session: From :meth:`open`.
            actor: Who signs out, for the audit log; None where their token is not good any more.
        """
        workspace_id = session.workspace_id
        async with self._db.workspace(workspace_id) as conn:
            await conn.execute("DELETE FROM ended_sessions WHERE expires_at < now()")
            done = await conn.execute(
                """
                INSERT INTO ended_sessions (workspace_id, session_hash, expires_at) VALUES (%s, %s, now() + %s)
                ON CONFLICT DO NOTHING
                """,
                (workspace_id, _hash(session), LIFETIMES["session"]),
            )
            if actor is not None and done.rowcount:
                await _note(conn, workspace_id, actor, "session.end")

    async def use_up(self, link: Session, actor: str) -> bool:
        """Take a link; whether this was the first time.

        Args:
            link: From :meth:`open`.
            actor: Whose token it is.
        """
        answers = Answers(self._db, self._provider)
        place = Place(link.workspace_id, actor, "sign-in link", link.nonce.reveal())
        try:
            begun = await answers.begin(place, b"")
        except (UnderWayError, KeyReusedError):  # somebody else is just using it
            return False
        if not isinstance(begun, Attempt):
            return False
        await answers.keep(begun, 200, b"")
        return True

    async def note_beginning(self, workspace_id: UUID, actor: str) -> None:
        """Put into the audit log that somebody signed in."""
        async with self._db.workspace(workspace_id) as conn:
            await _note(conn, workspace_id, actor, "session.begin")


async def sign_in_link(
    db: Database,
    provider: KeyProvider,
    workspace_id: UUID,
    public_url: str,
    *,
    role: Role,
    actor: str,
    reach: str | None = None,
) -> str:
    """Make a link that signs a browser in once, with all that a role may do.

    The token behind it is never shown, so it may hold what no other token can: rights to give rights.

    Args:
        db: The database.
        provider: Master keys.
        workspace_id: Which workspace.
        public_url: Where the server is reached.
        role: Whose permissions it gives.
        actor: Who makes it, and may do as much.
        reach: Which other workspaces the session may go on to, as of a :class:`Session`. A link for a member is theirs:
            it ends with their membership, as other tokens of theirs do.
    """
    holder = actor if reach in (None, INSTALLATION) else reach
    _, token = await tokens.create(
        db,
        workspace_id,
        TOKEN_NAME,
        sorted(PERMISSIONS[role]),
        expires_at=datetime.now(UTC) + LIFETIMES["link"] + LIFETIMES["session"],
        actor=str(holder),
    )
    if holder != actor:
        async with db.workspace(workspace_id) as conn:
            await _note(conn, workspace_id, actor, "session.link")
    sealed = await Sessions(db, provider).seal(Session.begin(workspace_id, token, reach), "link")
    return f"{public_url}/sign-in/{sealed}"


async def set_up_link(db: Database, public_url: str, *, actor: str) -> str:
    """Make a link by which a browser names the first workspace; it is good for ten minutes, until there is one.

    Args:
        db: The database.
        public_url: Where the server is reached.
        actor: Who makes it.
    """
    expires_at = datetime.now(UTC) + LIFETIMES["link"]
    _, token = await tokens.create(
        db, None, TOKEN_NAME, ["workspaces:create"], expires_at=expires_at, actor=actor
    )
    return f"{public_url}/set-up/{token.reveal()}"


def _purpose(purpose: Purpose, workspace_id: UUID) -> str:
    return f"unified pages|{purpose}|{workspace_id}"


def _hash(session: Session) -> bytes:
    return hashlib.sha256(session.nonce.reveal().encode()).digest()


async def _note(conn: AsyncConnection[Any], workspace_id: UUID, actor: str, action: str) -> None:
    await audit.record(conn, workspace_id, actor=actor, action=action, subject="pages", outcome="allowed")


def new_nonce() -> str:
    """256 random bits as text."""
    return randomness.token_urlsafe(32)
