"""Whose signatures on connector documents count in this deployment, and which documents and keys were revoked.

The operator says so, for all workspaces. How a signature is made and checked is `unified.sync.connectors.signatures`'.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from psycopg import errors

from unified.store import audit
from unified.store.connectors.documents import Tier
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, StoreError
from unified.store.rows import fetch

_LONGEST_REASON = 500


class KeyNotFoundError(StoreError):
    """There is no such signing key."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(
            f"there is no signing key {fingerprint}; `unified connectors keys list` lists those there are"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key whose signatures count.

    Attributes:
        fingerprint: SHA-256 of the public key, in hexadecimal digits.
        public_key: Ed25519, its 32 bytes in base64.
        name: Whose it is.
        tier: Of documents that it signed.
        added_by: Who trusts it.
        added_at: Since when.
    """

    fingerprint: str
    public_key: str
    name: str
    tier: Tier
    added_by: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Revocation:
    """A document, or all documents of a key, that must not be used any more.

    Attributes:
        revoked: The document's hash, or the key's fingerprint.
        reason: Why, for people.
        revoked_by: Who said so.
        revoked_at: When.
    """

    revoked: str
    reason: str
    revoked_by: str
    revoked_at: datetime


async def add_key(
    db: Database, *, fingerprint: str, public_key: str, name: str, tier: Tier, actor: str
) -> None:
    """Let a key's signatures count.

    Raises:
        DuplicateNameError: If they do already.
    """
    async with db.owner() as conn:
        try:
            await conn.execute(
                "INSERT INTO signing_keys (fingerprint, public_key, name, tier, added_by) VALUES (%s, %s, %s, %s, %s)",
                (fingerprint, public_key, name, tier, actor),
            )
        except errors.UniqueViolation:
            raise DuplicateNameError(f"the signing key {fingerprint} is trusted already") from None
        await audit.record_of_deployment(
            conn,
            actor=actor,
            action="signing_key.add",
            subject=f"signing key {fingerprint}",
            detail={"tier": tier},
        )


async def remove_key(db: Database, fingerprint: str, *, actor: str) -> None:
    """Let a key's signatures count no more. Documents that are installed stay; :func:`revoke` ends those too.

    Raises:
        KeyNotFoundError: If there is no such key.
    """
    async with db.owner() as conn:
        done = await conn.execute("DELETE FROM signing_keys WHERE fingerprint = %s", (fingerprint,))
        if not done.rowcount:
            raise KeyNotFoundError(fingerprint)
        await audit.record_of_deployment(
            conn, actor=actor, action="signing_key.remove", subject=f"signing key {fingerprint}"
        )


async def keys(db: Database) -> list[SigningKey]:
    """The keys whose signatures count, by name."""
    async with db.scheduler() as conn:
        return await fetch(conn, SigningKey, "SELECT * FROM signing_keys ORDER BY name, fingerprint")


async def revoke(db: Database, revoked: str, reason: str, *, actor: str) -> None:
    """Stop the use of a document, or of all that a key signed, wherever they are installed. It can't be taken back.

    Args:
        db: The database.
        revoked: The document's hash, or the key's fingerprint.
        reason: Why, for people.
        actor: Who says so, for the audit log.

    Raises:
        InvalidSettingError: If it is not a hash, or there is no reason.
    """
    if not re.fullmatch("[0-9a-f]{64}", revoked):
        raise InvalidSettingError(
            f"{revoked!r} is not the hash of a document nor the fingerprint of a key: both are 64 hexadecimal digits"
        )
    if not 1 <= len(reason) <= _LONGEST_REASON:
        raise InvalidSettingError(f"a reason has 1 to {_LONGEST_REASON} characters")
    async with db.owner() as conn:
        await conn.execute(
            """
            INSERT INTO revocations (revoked, reason, revoked_by) VALUES (%s, %s, %s)
            ON CONFLICT (revoked) DO NOTHING
            """,
            (revoked, reason, actor),
        )
        await audit.record_of_deployment(
            conn, actor=actor, action="connector.revoke", subject=f"connector document {revoked}"
        )


async def revocations(db: Database) -> dict[str, Revocation]:
    """All that was revoked, by hash or fingerprint."""
    async with db.scheduler() as conn:
        rows = await fetch(
            conn, Revocation, "SELECT revoked, reason, revoked_by, revoked_at FROM revocations"
        )
    return {row.revoked: row for row in rows}
