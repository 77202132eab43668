"""What is kept encrypted, encrypted anew by the cipher that is chosen now.

That is credentials, subscriptions' secrets, and the keys that columns are hashed by.
Readers and writers go on meanwhile: a value is replaced only if it is still the one that was read. What lives for a day
at most (sign-ins, consents under way, answers kept for a repeated request) is left to end by itself; both ciphers are
read. The data keys are wrapped anew by :func:`unified.store.secrets.data_keys.rotate`.
"""

from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import InvalidToken
from psycopg import AsyncConnection

from unified.store import audit, ciphers
from unified.store.database import Database
from unified.store.secrets.data_keys import COLUMN_KEY
from unified.store.secrets.keys import KeyProvider, WrappedKey
from unified.store.secrets.rows import Place, sealed_place
from unified.store.subscriptions.subscriptions import SEALED_NAME

_OTHER = "(substr({column}, 1, length(%(mark)s)) = %(mark)s) <> %(is_aes)s"
_CREDENTIALS = f"""
    SELECT c.workspace_id, connector_config_id, field, version, kind, expires_at,
        ciphertext, k.id, k.wrapped_key, k.master_key_id
    FROM connector_credentials AS c JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (c.workspace_id, c.data_key_id)
    WHERE {_OTHER.format(column="ciphertext")}
"""  # noqa: S608 - constants
_SUBSCRIPTIONS = f"""
    SELECT s.workspace_id, s.id, sealed, k.id, k.wrapped_key, k.master_key_id
    FROM webhook_subscriptions AS s JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (s.workspace_id, s.data_key_id)
    WHERE {_OTHER.format(column="sealed")}
"""  # noqa: S608 - constants
_COLUMN_KEYS = f"""
    SELECT s.workspace_id, s.workspace_id, sealed, k.id, k.wrapped_key, k.master_key_id
    FROM column_keys AS s JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (s.workspace_id, s.data_key_id)
    WHERE {_OTHER.format(column="sealed")}
"""  # noqa: S608 - constants
# Each with the value that was read: somebody may have stored another one meanwhile.
_REPLACE_CREDENTIAL = """
    UPDATE connector_credentials SET ciphertext = %s
    WHERE connector_config_id = %s AND field = %s AND version = %s AND ciphertext = %s
"""
_REPLACE_SUBSCRIPTION = "UPDATE webhook_subscriptions SET sealed = %s WHERE id = %s AND sealed = %s"
_REPLACE_COLUMN_KEY = "UPDATE column_keys SET sealed = %s WHERE workspace_id = %s AND sealed = %s"

# What is kept one by one under an id: how it is read and replaced, the name that it is sealed under, and for people.
_BY_ID = (
    (_SUBSCRIPTIONS, _REPLACE_SUBSCRIPTION, SEALED_NAME, "subscription {}: its secret"),
    (_COLUMN_KEYS, _REPLACE_COLUMN_KEY, COLUMN_KEY, "workspace {}: the key that columns are hashed by"),
)


class Resealed(NamedTuple):
    """What was done.

    Attributes:
        cipher: The one that is chosen.
        values: How many are encrypted by it that were not.
        damaged: Those that do not decrypt, as ``connection <id>: <field>``; they are as they were.
    """

    cipher: str
    values: int
    damaged: tuple[str, ...]


async def reseal(db: Database, provider: KeyProvider, *, actor: str = "unified") -> Resealed:
    """Encrypt what another cipher encrypted by the one that is chosen, a workspace at a time. It can be repeated.

    The deployment's log has an entry before anything is decrypted.

    Args:
        db: The database.
        provider: Unwraps the data keys.
        actor: Who does it, for the log.

    Raises:
        InvalidSettingError: If UNIFIED_CIPHER names no cipher.
        MasterKeyError: If a data key can't be unwrapped; what was done stays.
    """
    cipher = ciphers.chosen()
    async with db.scheduler() as conn:
        workspaces = await (await conn.execute("SELECT id FROM workspaces ORDER BY id")).fetchall()
        await audit.record_of_deployment(
            conn,
            actor=actor,
            action="keys.reseal",
            subject="keys",
            outcome="allowed",
            key_id=None,
            detail={"cipher": cipher, "workspaces": len(workspaces)},
        )
    damaged: list[str] = []
    values = 0
    for (workspace_id,) in workspaces:
        async with db.workspace(workspace_id) as conn:
            done = await _reseal(conn, provider)
        values += done.values
        damaged += done.damaged
    return Resealed(cipher, values, tuple(damaged))


async def _reseal(conn: AsyncConnection[Any], provider: KeyProvider) -> Resealed:
    """One workspace's, in its transaction."""
    cipher = ciphers.chosen()
    wanted = {"mark": ciphers.AES_MARK, "is_aes": cipher == ciphers.AES}
    credentials = await (await conn.execute(_CREDENTIALS.encode(), wanted)).fetchall()
    damaged: list[str] = []
    values = 0
    for *place, ciphertext, data_key_id, wrapped, key_id in credentials:
        at = Place(*place)
        try:
            renewed = await _anew(provider, at, ciphertext, data_key_id, WrappedKey(wrapped, key_id))
        except InvalidToken:
            damaged.append(f"connection {at.connection_id}: {at.field}")
            continue
        row = (renewed, at.connection_id, at.field, at.version, ciphertext)
        values += (await conn.execute(_REPLACE_CREDENTIAL, row)).rowcount
    for read, replace, name, what in _BY_ID:
        for workspace_id, one, sealed, data_key_id, wrapped, key_id in await (
            await conn.execute(read.encode(), wanted)
        ).fetchall():
            at = sealed_place(workspace_id, one, name)
            try:
                renewed = await _anew(provider, at, sealed, data_key_id, WrappedKey(wrapped, key_id))
            except InvalidToken:
                damaged.append(what.format(one))
                continue
            values += (await conn.execute(replace, (renewed, one, sealed))).rowcount
    return Resealed(cipher, values, tuple(damaged))


async def _anew(
    provider: KeyProvider, place: Place, ciphertext: bytes, data_key_id: UUID, wrapped: WrappedKey
) -> bytes:
    data_key = await provider.unwrap(*wrapped)
    return place.encrypt(data_key, data_key_id, place.decrypt(data_key, data_key_id, ciphertext))
