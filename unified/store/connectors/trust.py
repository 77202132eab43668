"""What the operator says of connector documents: whose signatures count, what was revoked, what is deprecated.

It holds for all workspaces. How a signature is made and checked is `unified.sync.connectors.signatures`'.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, errors

from unified.store import audit
from unified.store.connectors.documents import Tier
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError, StoreError
from unified.store.rows import fetch

LONGEST_REASON = 500
_HASH = re.compile("[0-9a-f]{64}")
_CONNECTOR = re.compile("[a-z][a-z0-9_]{0,39}")


class KeyNotFoundError(StoreError):
    """There is no such signing key."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(
            f"there is no signing key {fingerprint}; `unified connectors keys list` lists those there are"
        )


class DeprecationNotFoundError(StoreError):
    """Nothing of that name or hash is deprecated."""

    def __init__(self, deprecated: str) -> None:
        super().__init__(f"{deprecated} is not deprecated; `unified connectors deprecations` lists what is")


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


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A version of a connector, or all of its versions, that the operator advises against.

    Attributes:
        deprecated: The document's hash, or the connector's name.
        reason: Why, and what to use instead, for people.
        deprecated_by: Who said so.
        deprecated_at: When.
    """

    deprecated: str
    reason: str
    deprecated_by: str
    deprecated_at: datetime


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
    if not is_hash(revoked):
        raise InvalidSettingError(
            f"{revoked!r} is not the hash of a document nor the fingerprint of a key: both are 64 hexadecimal digits"
        )
    _check_reason(reason)
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


async def deprecate(db: Database, deprecated: str, reason: str, *, actor: str) -> None:
    """Advise against a document, or against a connector in all its versions; a second time, with another reason.

    Those that are installed stay in use: what must not be used any more is revoked (:func:`revoke`).

    Args:
        db: The database.
        deprecated: The document's hash, or the connector's name.
        reason: Why, and what to use instead, for people.
        actor: Who says so, for the audit log.

    Raises:
        InvalidSettingError: If it is neither a hash nor a name, or there is no reason.
    """
    if not is_hash(deprecated) and not _CONNECTOR.fullmatch(deprecated):
        raise InvalidSettingError(
            f"{deprecated!r} is neither the hash of a document, 64 hexadecimal digits, nor the name of a connector"
        )
    _check_reason(reason)
    async with db.owner() as conn:
        await conn.execute(
            """
            INSERT INTO deprecations (deprecated, reason, deprecated_by) VALUES (%s, %s, %s)
            ON CONFLICT (deprecated) DO UPDATE
            SET reason = excluded.reason, deprecated_by = excluded.deprecated_by, deprecated_at = now()
            """,
            (deprecated, reason, actor),
        )
        await _log_deprecation(conn, "connector.deprecate", deprecated, actor)


async def reinstate(db: Database, deprecated: str, *, actor: str) -> None:
    """Take a deprecation back.

    Raises:
        DeprecationNotFoundError: If there is none.
    """
    async with db.owner() as conn:
        done = await conn.execute("DELETE FROM deprecations WHERE deprecated = %s", (deprecated,))
        if not done.rowcount:
            raise DeprecationNotFoundError(deprecated)
        await _log_deprecation(conn, "connector.reinstate", deprecated, actor)


async def deprecations(db: Database) -> dict[str, Deprecation]:
    """All that is deprecated, by hash or name, the latest first."""
    async with db.scheduler() as conn:
        rows = await fetch(
            conn,
            Deprecation,
            "SELECT deprecated, reason, deprecated_by, deprecated_at FROM deprecations "
            "ORDER BY deprecated_at DESC, deprecated",
        )
    return {row.deprecated: row for row in rows}


def why_deprecated(found: Mapping[str, Deprecation], connector: str, document_hash: str) -> str | None:
    """Why a document is deprecated, by itself or with its connector; None where it is not."""
    one = found.get(document_hash) or found.get(connector)
    return one.reason if one else None


def is_hash(text: str) -> bool:
    """Whether it may be the hash of a document or the fingerprint of a key: 64 hexadecimal digits."""
    return _HASH.fullmatch(text) is not None


async def _log_deprecation(conn: AsyncConnection[Any], action: str, deprecated: str, actor: str) -> None:
    kind = "connector document" if is_hash(deprecated) else "connector"
    await audit.record_of_deployment(conn, actor=actor, action=action, subject=f"{kind} {deprecated}")


def _check_reason(reason: str) -> None:
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise InvalidSettingError(f"a reason has 1 to {LONGEST_REASON} characters")
