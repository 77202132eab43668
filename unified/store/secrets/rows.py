"""Rows of connections' secrets: what a row holds, what may be shown of it, and the cipher of its place.

A value is encrypted by its workspace's data key and bound to the row's place, so that a row which is moved to another
workspace, connection, field, version, kind or expiry does not decrypt.

Everything here works in a transaction of the workspace that its caller opened. Who may store and have secrets, and
what the audit log gets, is `unified.store.secrets.credentials`'.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import AsyncConnection

from unified.kit.secrets import Secret
from unified.store import ciphers
from unified.store.connections.across import read_across
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.rows import fetch
from unified.store.secrets.authorization_rows import IS_REFRESHED
from unified.store.secrets.keys import WrappedKey


class Place(NamedTuple):
    """Where a value is stored. It is bound to that: by AES-256-GCM as associated data, by Fernet in the value's key."""

    workspace_id: UUID
    connection_id: UUID
    field: str
    version: int
    kind: str
    expires_at: datetime | None

    def encrypt(self, data_key: bytes, data_key_id: UUID, secret: Secret) -> bytes:
        """What is stored of a secret here, by the cipher that is chosen."""
        bound_to = f"{self._said()}|{data_key_id}".encode()
        plain = secret.reveal().encode()
        return ciphers.encrypt(data_key, plain, bound_to=bound_to, fernet=lambda: self._fernet(data_key))

    def decrypt(self, data_key: bytes, data_key_id: UUID, ciphertext: bytes) -> Secret:
        """The secret that is stored here, by whichever cipher.

        Raises:
            InvalidToken: If it was encrypted elsewhere or by another key, or changed since.
        """
        bound_to = f"{self._said()}|{data_key_id}".encode()
        plain = ciphers.decrypt(
            data_key, ciphertext, bound_to=bound_to, fernet=lambda: self._fernet(data_key)
        )
        return Secret(plain.decode())

    def _fernet(self, data_key: bytes) -> Fernet:
        derived = HKDF(SHA256(), 32, None, self._said().encode()).derive(data_key)
        return Fernet(base64.urlsafe_b64encode(derived))

    def _said(self) -> str:
        expiry = self.expires_at.astimezone(UTC).isoformat() if self.expires_at else "never"
        return "|".join(map(str, ("unified credential", *self[:-1], expiry)))  # of which none can hold a bar


def sealed_place(workspace_id: UUID, owner_id: UUID, name: str) -> Place:
    """The place of a secret that another table keeps: bound to what it belongs to, and a name."""
    return Place(workspace_id, owner_id, name, 1, "sealed", None)


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """What may be shown of one stored secret.

    Attributes:
        connection_id: The connection that it belongs to.
        field: The name under which the adapter finds it.
        kind: One of :class:`unified.kit.declarations.CredentialKind`.
        version: Counts up each time it is replaced.
        expires_at: When it stops being released; None never.
        updated_at: When this version was stored.
        reference: Where it is kept; None where it is stored itself.
    """

    connection_id: UUID
    field: str
    kind: str
    version: int
    expires_at: datetime | None
    updated_at: datetime
    reference: str | None = None


class Sealed(NamedTuple):
    """A stored secret, encrypted.

    Attributes:
        info: What may be shown of it.
        is_expired: Whether it is past its expiry.
        ciphertext: What :meth:`Place.encrypt` gave.
        data_key_id: The data key that it needs.
        data_key: That key, wrapped.
    """

    info: CredentialInfo
    is_expired: bool
    ciphertext: bytes
    data_key_id: UUID
    data_key: WrappedKey


_INFO = "connector_config_id AS connection_id, field, kind, version, expires_at, updated_at, reference"
_INFO_TYPES = """
    connection_id uuid, field text, kind text, version integer, expires_at timestamptz, updated_at timestamptz,
    reference text
"""

# A connection's own secrets, or those of one of its webhook endpoints, which nobody else is given.
_OF = "connector_config_id = %(connection)s AND webhook_config_id IS NOT DISTINCT FROM %(endpoint)s"


async def read_infos(
    conn: AsyncConnection[Any], connection_id: UUID, endpoint_id: UUID | None = None
) -> list[CredentialInfo]:
    """What may be shown of a connection's own secrets, or one webhook endpoint's, by field."""
    return await fetch(
        conn,
        CredentialInfo,
        f"SELECT {_INFO} FROM connector_credentials WHERE {_OF} ORDER BY field",  # noqa: S608 - constants
        connection=connection_id,
        endpoint=endpoint_id,
    )


async def read_all_infos(db: Database, connections: Sequence[ConnectionSummary]) -> list[CredentialInfo]:
    """The same of connections of all workspaces, by connection and field."""
    return await read_across(
        db,
        connections,
        CredentialInfo,
        _INFO_TYPES,
        f"""
        SELECT {_INFO} FROM connector_credentials
        WHERE (workspace_id, connector_config_id) = (own, one) AND webhook_config_id IS NULL ORDER BY field
        """,  # noqa: S608 - constants
    )


async def read_expiring(
    db: Database, connections: Sequence[ConnectionSummary], within: timedelta
) -> list[CredentialInfo]:
    """Those of them that have expired or will within a time; not what is refreshed."""
    return await read_across(
        db,
        connections,
        CredentialInfo,
        _INFO_TYPES,
        f"""
        SELECT {_INFO} FROM connector_credentials
        WHERE (workspace_id, connector_config_id) = (own, one) AND webhook_config_id IS NULL
            AND expires_at <= now() + {{within}} AND NOT {IS_REFRESHED}
        """,  # noqa: S608 - constants
        within=within,
    )


async def has_credentials(conn: AsyncConnection[Any], connection_id: UUID) -> bool:
    """Whether a connection has secrets of its own."""
    return bool(await read_infos(conn, connection_id))


async def read_sealed(
    conn: AsyncConnection[Any], connection_id: UUID, endpoint_id: UUID | None
) -> list[Sealed]:
    """A connection's own secrets, or one webhook endpoint's, by field, with what decrypts them."""
    rows = await conn.execute(
        f"""
        SELECT {_INFO}, COALESCE(expires_at <= clock_timestamp(), false), ciphertext, k.id, wrapped_key, master_key_id
        FROM connector_credentials AS c
        JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (c.workspace_id, c.data_key_id)
        WHERE {_OF} ORDER BY field
        """,  # noqa: S608 - constants
        {"connection": connection_id, "endpoint": endpoint_id},
    )
    return [
        Sealed(CredentialInfo(*info), is_expired, ciphertext, data_key_id, WrappedKey(wrapped, key_id))
        for *info, is_expired, ciphertext, data_key_id, wrapped, key_id in await rows.fetchall()
    ]


async def write(
    conn: AsyncConnection[Any],
    place: Place,
    ciphertext: bytes,
    data_key_id: UUID,
    endpoint_id: UUID | None,
    reference: str | None,
) -> None:
    """Store what :meth:`Place.encrypt` gave, in place of the field's former version.

    Of a secret that is kept elsewhere that is the reference, which stands beside it for all to see.
    """
    await conn.execute(
        """
        INSERT INTO connector_credentials (
            workspace_id, connector_config_id, field, version, kind, expires_at,
            ciphertext, data_key_id, webhook_config_id, reference
        )
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (workspace_id, connector_config_id, field) DO UPDATE SET
            version = excluded.version, kind = excluded.kind, expires_at = excluded.expires_at,
            updated_at = now(), ciphertext = excluded.ciphertext, data_key_id = excluded.data_key_id,
            reference = excluded.reference
        """,
        (*place, ciphertext, data_key_id, endpoint_id, reference),
    )


async def delete(
    conn: AsyncConnection[Any], connection_id: UUID, fields: Collection[str] | None = None
) -> list[str]:
    """Delete a connection's own secrets, or some of them; the fields that are gone."""
    rows = await conn.execute(
        f"""
        DELETE FROM connector_credentials
        WHERE {_OF} AND (%(fields)s::text[] IS NULL OR field = ANY(%(fields)s)) RETURNING field
        """,  # noqa: S608 - constant
        {"connection": connection_id, "endpoint": None, "fields": None if fields is None else list(fields)},
    )
    return sorted(row[0] for row in await rows.fetchall())
