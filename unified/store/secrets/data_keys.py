"""Data keys: one a workspace, kept wrapped by a master key, and the rotation to a new master key.

Beside them the keys that columns are hashed by, one a workspace (`unified.kit.mapping.columns`).

The plain keys exist only in memory. What they encrypt: `unified.store.secrets.credentials`. The master keys:
`unified.store.secrets.keys`.
"""

import base64
import os
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation

from unified.kit.secrets import Secret
from unified.store import audit, ciphers
from unified.store.database import Database
from unified.store.secrets.keys import KeyProvider, MasterKeyError, WrappedKey
from unified.store.secrets.rows import sealed_place

# While a new data key is wrapped and stored, the master keys do not change; while they change, nobody
# wraps. So a rotation sees every data key that was wrapped by a former master key, and none comes after it.
_WRAPPING = "SELECT pg_advisory_xact_lock_shared(hashtextextended('unified/master keys', 0))"
_CHANGING = "SELECT pg_advisory_xact_lock(hashtextextended('unified/master keys', 0))"

COLUMN_KEY = "column_key"
"""The name under which a workspace's key for columns is sealed."""

_COLUMN_KEY = """
    SELECT sealed, c.data_key_id, k.wrapped_key, k.master_key_id
    FROM column_keys AS c JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (c.workspace_id, c.data_key_id)
"""

_PRIMARY = "SELECT id, wrapped_key, master_key_id FROM workspace_keys WHERE is_primary"


class MasterKeyInUseError(MasterKeyError):
    """A master key can't be retired, because data keys are still wrapped by it."""


class DataKey(NamedTuple):
    """A workspace's data key, in plain.

    Attributes:
        id: Row of ``workspace_keys``.
        key: 32 random bytes.
        master_key_id: The master key that wraps it.
    """

    id: UUID
    key: bytes
    master_key_id: str

    def cipher(self, purpose: str) -> Fernet:
        """What seals for one purpose: nothing that was sealed for another one opens by it."""
        derived = HKDF(SHA256(), 32, None, purpose.encode()).derive(self.key)
        return Fernet(base64.urlsafe_b64encode(derived))

    def __repr__(self) -> str:
        return f"DataKey(id={self.id}, master_key_id={self.master_key_id!r})"


class RotationReport(NamedTuple):
    """What a rotation did.

    Attributes:
        primary_key_id: The master key that wraps every data key now.
        rewrapped: Data keys that this call moved to it.
        retired: Ids of former master keys that nothing needs any more.
    """

    primary_key_id: str
    rewrapped: int
    retired: tuple[str, ...]


async def status(db: Database) -> dict[str, int]:
    """How many data keys each master key wraps, by master key id."""
    async with db.scheduler() as conn:
        return await _count(conn)


async def unwrapped_by(db: Database, provider: KeyProvider) -> dict[str, str | None]:
    """Try one data key of every master key in use.

    Returns:
        By master key id why it does not unwrap, or None where it does.
    """
    outcomes: dict[str, str | None] = {}
    for wrapped, key_id in await _samples(db):
        try:
            await provider.unwrap(wrapped, key_id)
            outcomes[key_id] = None
        except MasterKeyError as error:
            outcomes[key_id] = str(error)
    return outcomes


async def verify(db: Database, provider: KeyProvider) -> None:
    """Refuse to start with the wrong keys: unwrap one data key of every master key in use.

    Raises:
        UnknownMasterKeyError: If a master key in use is missing.
        DamagedDataKeyError: If a data key does not unwrap.
    """
    for wrapped, key_id in await _samples(db):
        await provider.unwrap(wrapped, key_id)


async def rotate(
    db: Database, provider: KeyProvider, *, batch_size: int = 100, actor: str = "unified"
) -> RotationReport:
    """Move every data key to the newest master key, then retire the others.

    Readers and writers go on meanwhile. Killed at any point, it goes on from there when called again. The deployment's
    log has an entry from its first step on.

    Args:
        db: The database.
        provider: Makes the new primary key, or has been given one in front of the former.
        batch_size: Data keys per transaction.
        actor: Who rotates, for the log.

    Raises:
        UnknownMasterKeyError: If a key in use is missing; then nothing is changed.
        MasterKeyInUseError: If a process that does not know the new key went on to wrap under a former one.
    """
    await verify(db, provider)
    async with db.scheduler() as conn:
        await conn.execute(_CHANGING)
        await provider.renew()
        primary = await provider.primary_key_id()
        await _record(conn, actor, "keys.rotate", key_id=primary, data_keys=await _count(conn))
    rewrapped = 0
    while batch := await _rewrap(db, provider, batch_size):
        rewrapped += batch
    return RotationReport(await provider.primary_key_id(), rewrapped, await retire(db, provider, actor=actor))


async def retire(db: Database, provider: KeyProvider, *, actor: str = "unified") -> tuple[str, ...]:
    """Give up all master keys but the primary.

    Args:
        db: The database.
        provider: Holds them.
        actor: Who retires them, for the deployment's log.

    Returns:
        Ids of the retired keys.

    Raises:
        MasterKeyInUseError: If any other master key still wraps a data key.
    """
    async with db.scheduler() as conn:
        await conn.execute(_CHANGING)
        in_use = await _count(conn)
        retired = await provider.retire(in_use.keys())
        primary = await provider.primary_key_id()
        former = sorted(in_use.keys() - {primary})
        stay = "; ".join([await _described_use(conn, key_id) for key_id in former])
        if retired or former:
            outcome: audit.Outcome = "denied" if former else "allowed"
            await _record(
                conn, actor, "keys.retire", outcome, key_id=primary, retired=list(retired), in_use=former
            )
    if former:
        raise MasterKeyInUseError(
            f"these master keys stay, because data keys are still wrapped by them: {stay}. "
            "Give every process the new key first, then run `unified keys rotate`"
        )
    return retired


async def replace(db: Database, *, actor: str = "unified") -> int:
    """Have each workspace encrypt with a new data key from now on, made when it is first needed.

    For when a master key leaked together with a copy of the database: wrapped anew, the same data keys would
    go on protecting what is stored later. What is stored already stays under them, as a person with both has
    read it; it is replaced at its provider. A former data key goes once nothing is encrypted by it.

    Args:
        db: The database.
        actor: Who replaces them, for the deployment's log.

    Returns:
        How many workspaces will make a new one.
    """
    replaced = 0
    async with db.scheduler() as conn:
        workspaces = await (await conn.execute("SELECT id FROM workspaces")).fetchall()
    for (workspace_id,) in workspaces:
        async with db.workspace(workspace_id) as conn:
            update = await conn.execute("UPDATE workspace_keys SET is_primary = false WHERE is_primary")
            replaced += update.rowcount
            former = await conn.execute("SELECT id FROM workspace_keys WHERE NOT is_primary")
            for (data_key_id,) in await former.fetchall():
                with suppress(ForeignKeyViolation):  # still needed
                    async with conn.transaction():
                        await conn.execute("DELETE FROM workspace_keys WHERE id = %s", (data_key_id,))
    async with db.scheduler() as conn:
        await _record(conn, actor, "keys.replace", workspaces=replaced)
    return replaced


async def stored(conn: AsyncConnection[Any], provider: KeyProvider) -> DataKey | None:
    """The data key that the transaction's workspace encrypts with; None where it has none. Nothing is written.

    Not to encrypt with: it may be deleted the moment after (:func:`current`).

    Raises:
        UnknownMasterKeyError, DamagedDataKeyError: As for :func:`current`.
    """
    row = await (await conn.execute(_PRIMARY)).fetchone()
    return DataKey(row[0], await provider.unwrap(row[1], row[2]), row[2]) if row else None


async def current(conn: AsyncConnection[Any], provider: KeyProvider, workspace_id: UUID) -> DataKey:
    """The data key that a workspace encrypts with, made on first use. If two make one, the first stands.

    Args:
        conn: A transaction in that workspace.
        provider: Wraps and unwraps it.
        workspace_id: The workspace.

    Raises:
        UnknownMasterKeyError: If the master key that wrapped it is missing.
        DamagedDataKeyError: If it does not unwrap.
    """
    # Locked against being deleted as long as what is encrypted with it is not committed.
    while (row := await (await conn.execute(f"{_PRIMARY} FOR KEY SHARE")).fetchone()) is None:
        await conn.execute(_WRAPPING)
        await conn.execute(
            """
            INSERT INTO workspace_keys (workspace_id, wrapped_key, master_key_id) VALUES (%s, %s, %s)
            ON CONFLICT (workspace_id) WHERE is_primary DO NOTHING
            """,
            (workspace_id, *await provider.wrap(os.urandom(32))),
        )
    data_key_id, wrapped, master_key_id = row
    return DataKey(data_key_id, await provider.unwrap(wrapped, master_key_id), master_key_id)


async def column_key(conn: AsyncConnection[Any], provider: KeyProvider, workspace_id: UUID) -> bytes:
    """The key that a workspace's columns are hashed by, 32 bytes, made on first use. If two make one, the first stands.

    It is kept encrypted by the data key, and never replaced: what would be hashed by another one would not join with
    what is stored.

    Args:
        conn: A transaction in the workspace.
        provider: Wraps and unwraps its data key.
        workspace_id: The workspace.

    Raises:
        MasterKeyError: If the data key can't be unwrapped.
        InvalidToken: If its row was changed, or copied from another place.
    """
    place = sealed_place(workspace_id, workspace_id, COLUMN_KEY)
    while (row := await (await conn.execute(_COLUMN_KEY)).fetchone()) is None:
        data_key = await current(conn, provider, workspace_id)
        sealed = place.encrypt(data_key.key, data_key.id, Secret(os.urandom(32).hex()))
        await conn.execute(
            "INSERT INTO column_keys (workspace_id, sealed, data_key_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (workspace_id, sealed, data_key.id),
        )
    sealed, data_key_id, wrapped_key, master_key_id = row
    secret = place.decrypt(await provider.unwrap(wrapped_key, master_key_id), data_key_id, sealed)
    return bytes.fromhex(secret.reveal())


async def _record(
    conn: AsyncConnection[Any],
    actor: str,
    action: str,
    outcome: audit.Outcome = "allowed",
    *,
    key_id: str | None = None,
    **detail: Any,
) -> None:
    await audit.record_of_deployment(
        conn, actor=actor, action=action, subject="keys", outcome=outcome, key_id=key_id, detail=detail
    )


async def _count(conn: AsyncConnection[Any]) -> dict[str, int]:
    rows = await conn.execute("SELECT master_key_id, count(*) FROM workspace_keys GROUP BY 1 ORDER BY 1")
    return dict(await rows.fetchall())


async def _samples(db: Database) -> list[tuple[bytes, str]]:
    """One wrapped data key of every master key in use."""
    async with db.scheduler() as conn:
        rows = await conn.execute(
            "SELECT DISTINCT ON (master_key_id) wrapped_key, master_key_id FROM workspace_keys"
        )
        return await rows.fetchall()


async def _described_use(conn: AsyncConnection[Any], master_key_id: str) -> str:
    """How many data keys a master key wraps, and of which workspaces."""
    rows = await conn.execute(
        """
        SELECT w.slug, count(*) OVER () FROM workspace_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id
        WHERE k.master_key_id = %s ORDER BY w.slug LIMIT 5
        """,
        (master_key_id,),
    )
    found = await rows.fetchall()
    slugs, total = [slug for slug, _ in found], found[0][1]
    more = f" and {total - len(slugs)} more" if total > len(slugs) else ""
    return f"{master_key_id} wraps {total}, of {', '.join(slugs)}{more}"


async def _rewrap(db: Database, provider: KeyProvider, limit: int) -> int:
    """Re-wrap up to ``limit`` data keys; the number that was looked at. Nothing is locked while they are wrapped."""
    primary = await provider.primary_key_id()
    async with db.scheduler() as conn:
        rows = await conn.execute(
            """
            SELECT workspace_id, id, wrapped_key, master_key_id FROM workspace_keys
            WHERE master_key_id <> %(primary)s
                OR (%(takes_cipher)s AND (substr(wrapped_key, 1, length(%(mark)s)) = %(mark)s) <> %(is_aes)s)
            LIMIT %(limit)s
            """,
            {
                "primary": primary,
                "takes_cipher": provider.takes_cipher,
                "mark": ciphers.AES_MARK,
                "is_aes": ciphers.chosen() == ciphers.AES,
                "limit": limit,
            },
        )
        batch = await rows.fetchall()
    renewed = await provider.rewrap([WrappedKey(wrapped, key_id) for _, _, wrapped, key_id in batch])
    async with db.scheduler() as conn, conn.cursor() as cursor:
        # Only as it was read: where another rotation was quicker, its wrapping stands.
        await cursor.executemany(
            """
            UPDATE workspace_keys SET wrapped_key = %s, master_key_id = %s, rewrapped_at = now()
            WHERE workspace_id = %s AND id = %s AND wrapped_key = %s AND master_key_id = %s
            """,
            [(*new, *row) for new, row in zip(renewed, batch, strict=True)],
        )
    return len(batch)
