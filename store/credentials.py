"""Connections' secrets, encrypted at rest and released only to a named use that the audit log holds.

Each workspace has a data key (`store.data_keys`). A value is encrypted under a key derived from that data
key and from the row's place, so that a row which is moved to another workspace, connection, field, version,
kind or expiry does not decrypt. Nothing decrypted is kept between two uses, data keys included.

What the secrets are used for is the adapters' business; where a connection is kept, `store.registry`'s.
"""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import class_row

from adapters.base import ConnectionRef, CredentialKind
from adapters.factory import OpenedConnection
from adapters.secrets import Secret
from store import audit, authorization_rows, data_keys
from store.approval import ConnectionNotApprovedError, ensure_approved
from store.connections import ConnectionNotFoundError, connection_key
from store.database import Database
from store.errors import StoreError
from store.keys import KeyProvider, MasterKeyError
from store.registry import Registry

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a kind, no secret
"""Kind of the secrets that sign what a webhook endpoint receives."""

_FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")

# A connection's own secrets, or those of one of its webhook endpoints, which nobody else is given.
_OWN = "connector_config_id = %s AND webhook_config_id IS NOT DISTINCT FROM %s"
_OWN_FIELDS = "WHERE connector_config_id = %s AND webhook_config_id IS NULL ORDER BY field"

# In place of a kind, for what is no credential of a connection.
_SEALED = "sealed"


class CredentialError(StoreError):
    """A connection's secrets can't be stored or released."""


class InvalidCredentialError(CredentialError):
    """What should be stored is no usable credential."""


class CredentialNotFoundError(CredentialError):
    """The connection has no credentials."""


class CredentialExpiredError(CredentialError):
    """A credential is past its expiry."""


class CredentialTamperedError(CredentialError):
    """A stored credential was changed, or copied from another place."""


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """What may be told about one stored secret.

    Attributes:
        connection_id: The connection that it belongs to.
        field: The name under which the adapter finds it.
        kind: One of :class:`adapters.base.CredentialKind`.
        version: Counts up each time it is replaced.
        expires_at: When it stops being released; None never.
        updated_at: When this version was stored.
    """

    connection_id: UUID
    field: str
    kind: str
    version: int
    expires_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Released:
    """A connection's secrets, outside the store.

    Attributes:
        kind: One of :class:`adapters.base.CredentialKind`; all of a connection's are of one.
        secrets: By field. Of a kind that somebody refreshes, those that are not expired.
        infos: What may be told about each field, expired ones included.
    """

    kind: str
    secrets: dict[str, Secret]
    infos: dict[str, CredentialInfo]


class _Place(NamedTuple):
    """Where a value is stored. Fernet has no associated data, so the place goes into the value's key."""

    workspace_id: UUID
    connection_id: UUID
    field: str
    version: int
    kind: str
    expires_at: datetime | None

    def cipher(self, data_key: bytes) -> Fernet:
        """The cipher of this place alone."""
        expiry = self.expires_at.astimezone(UTC).isoformat() if self.expires_at else "never"
        parts = ("unified credential", *self[:-1], expiry)  # of which none can hold a bar
        info = "|".join(map(str, parts)).encode()
        return Fernet(base64.urlsafe_b64encode(HKDF(SHA256(), 32, None, info).derive(data_key)))


_INFOS = """
    SELECT connector_config_id AS connection_id, field, kind, version, expires_at, updated_at
    FROM connector_credentials
"""

# A refusal that a rule demands; anything else that stops a release is a failure.
_DENIALS = (
    CredentialNotFoundError,
    CredentialExpiredError,
    ConnectionNotFoundError,
    ConnectionNotApprovedError,
)


class CredentialStore:
    """Stores, describes and releases connections' secrets."""

    def __init__(self, db: Database, provider: KeyProvider) -> None:
        """Work on ``db`` with the master keys of ``provider``."""
        self._db = db
        self._provider = provider

    async def put(
        self,
        workspace_id: UUID,
        connection_id: UUID,
        kind: str,
        fields: Mapping[str, Secret],
        expires_at: datetime | None = None,
        *,
        endpoint_id: UUID | None = None,
        replace: bool = False,
        actor: str = "unified",
    ) -> None:
        """Store secrets of a connection, each as the next version of its field; other fields stay.

        Args:
            workspace_id: The workspace.
            connection_id: The connection.
            kind: One of :class:`adapters.base.CredentialKind`; a connection's fields are all of one kind. Of a
                webhook endpoint, ``WEBHOOK_SECRET``.
            fields: Secrets by field name, at least one.
            expires_at: When these fields stop being released, with a time zone; None never.
            endpoint_id: The webhook endpoint whose secrets they are; None for the connection's own.
            replace: Whether fields of another kind go: a connection has a key or an authorization, never both.
            actor: Who stores them, for the audit log.

        Raises:
            InvalidCredentialError: If the kind, a field's name or the expiry is not usable.
            ConnectionNotFoundError: If the workspace has no such connection.
            MasterKeyError: If the workspace's data key can't be unwrapped.
        """
        async with self._db.workspace(workspace_id) as conn:
            await self.put_within(
                conn,
                workspace_id,
                connection_id,
                kind,
                fields,
                expires_at,
                endpoint_id=endpoint_id,
                replace=replace,
                actor=actor,
            )

    async def put_within(
        self,
        conn: AsyncConnection[Any],
        workspace_id: UUID,
        connection_id: UUID,
        kind: str,
        fields: Mapping[str, Secret],
        expires_at: datetime | None = None,
        *,
        endpoint_id: UUID | None = None,
        replace: bool = False,
        actor: str = "unified",
    ) -> None:
        """The same as :meth:`put`, as part of the caller's transaction in the workspace."""
        kind = _checked(kind, fields, expires_at, is_webhook=endpoint_id is not None)
        # Locked, so that two at once do not give out the same version.
        key = await connection_key(conn, connection_id, lock=True)
        rows = await conn.execute(
            f"SELECT field, version, kind FROM connector_credentials WHERE {_OWN}",  # noqa: S608 - constant
            (connection_id, endpoint_id),
        )
        stored = {field: (version, stored_kind) for field, version, stored_kind in await rows.fetchall()}
        others = {field for field, (_, stored_kind) in stored.items() if stored_kind != kind}
        if others and not replace:
            raise InvalidCredentialError(
                f"connection {key} has credentials of kind {stored[min(others)][1]}; "
                f"delete them before storing {kind}"
            )
        if others:
            await self._drop(conn, connection_id, sorted(others - fields.keys()))
        versions = {field: version for field, (version, _) in stored.items()}
        data_key = await data_keys.current(conn, self._provider, workspace_id)
        for field, secret in fields.items():
            versions[field] = versions.get(field, 0) + 1
            place = _Place(workspace_id, connection_id, field, versions[field], kind, expires_at)
            await conn.execute(
                """
                INSERT INTO connector_credentials (
                    workspace_id, connector_config_id, field, version, kind, expires_at,
                    ciphertext, data_key_id, webhook_config_id
                )
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (workspace_id, connector_config_id, field) DO UPDATE SET
                    version = excluded.version, kind = excluded.kind, expires_at = excluded.expires_at,
                    updated_at = now(), ciphertext = excluded.ciphertext, data_key_id = excluded.data_key_id
                """,
                (
                    *place,
                    place.cipher(data_key.key).encrypt(secret.reveal().encode()),
                    data_key.id,
                    endpoint_id,
                ),
            )
        if others and kind != CredentialKind.OAUTH_TOKEN:
            await authorization_rows.forget(conn, connection_id)
        await audit.record(
            conn,
            workspace_id,
            actor=actor,
            action="credential.put",
            subject=_subject(connection_id, endpoint_id),
            outcome="allowed",
            key_id=data_key.master_key_id,
            detail={"kind": kind, "versions": {field: versions[field] for field in fields}},
        )

    async def keep_only(
        self, conn: AsyncConnection[Any], connection_id: UUID, fields: Collection[str]
    ) -> None:
        """Delete a connection's own secrets but some, as part of the caller's transaction in the workspace."""
        infos = await _infos(conn, _OWN_FIELDS, connection_id)
        await self._drop(conn, connection_id, sorted({info.field for info in infos} - set(fields)))

    async def _drop(self, conn: AsyncConnection[Any], connection_id: UUID, fields: Sequence[str]) -> None:
        await conn.execute(
            f"DELETE FROM connector_credentials WHERE {_OWN} AND field = ANY (%s)",  # noqa: S608 - constant
            (connection_id, None, list(fields)),
        )

    async def reveal(
        self,
        workspace_id: UUID,
        connection_id: UUID,
        *,
        actor: str,
        purpose: str,
        endpoint_id: UUID | None = None,
    ) -> dict[str, Secret]:
        """Release all secrets of a connection. They leave only once the audit entry is committed.

        Args:
            workspace_id: The workspace.
            connection_id: The connection.
            actor: Who uses them, for the audit log.
            purpose: What for: ``sync``, ``test``, ….
            endpoint_id: The webhook endpoint whose secrets to release; None for the connection's own.

        Returns:
            Secrets by field name. Of an endpoint, those that are not expired: while they are rolled, a former
            one expires beside its successor.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
            ConnectionNotApprovedError: If nobody has approved it; its webhook endpoints' secrets are released.
            CredentialNotFoundError: If it has no credentials.
            CredentialExpiredError: If one of the connection's own is past its expiry.
            CredentialTamperedError: If one of them is not as and where it was stored.
            MasterKeyError: If the data key can't be unwrapped.
        """
        released = await self.release(
            workspace_id, connection_id, actor=actor, purpose=purpose, endpoint_id=endpoint_id
        )
        return released.secrets

    async def release(
        self,
        workspace_id: UUID,
        connection_id: UUID,
        *,
        actor: str,
        purpose: str,
        endpoint_id: UUID | None = None,
    ) -> Released:
        """The same as :meth:`reveal`, with what may be told about the secrets."""
        entry: dict[str, Any] = {
            "actor": actor,
            "action": "credential.reveal",
            "subject": _subject(connection_id, endpoint_id),
            "purpose": purpose,
        }
        try:
            async with self._db.workspace(workspace_id) as conn:
                released, key_ids = await self._decrypt(conn, workspace_id, connection_id, endpoint_id)
                versions = {field: released.infos[field].version for field in released.secrets}
                detail: dict[str, Any] = {"versions": versions}
                await audit.record(
                    conn, workspace_id, **entry, outcome="allowed", key_id=key_ids, detail=detail
                )
        except (CredentialError, MasterKeyError, *_DENIALS) as error:
            outcome: audit.Outcome = "denied" if isinstance(error, _DENIALS) else "failed"
            detail = {"error": type(error).__name__}
            # In a transaction of its own, for this one was rolled back. No workspace, no log to write to.
            with suppress(ForeignKeyViolation):
                async with self._db.workspace(workspace_id) as conn:
                    await audit.record(conn, workspace_id, **entry, outcome=outcome, detail=detail)
            raise
        return released

    async def describe(self, workspace_id: UUID, connection_id: UUID) -> list[CredentialInfo]:
        """What secrets a connection has, field by field, without any value."""
        async with self._db.workspace(workspace_id) as conn:
            return await _infos(conn, _OWN_FIELDS, connection_id)

    async def expiring(self, within: timedelta) -> list[CredentialInfo]:
        """Secrets of all workspaces that have expired or will within a time, the first to expire first.

        A webhook endpoint's are not among them: one that expires there has been replaced already. Nor is an access
        token that is refreshed; its refresh token is, where that ends at a known time.
        """
        found: list[tuple[datetime, CredentialInfo]] = []
        for workspace in await Registry(self._db).workspaces():
            async with self._db.workspace(workspace.id) as conn:
                infos = await _infos(
                    conn,
                    f"""
                    WHERE expires_at <= now() + %s AND webhook_config_id IS NULL
                        AND NOT {authorization_rows.IS_REFRESHED}
                    """,
                    within,
                )
            found += [(info.expires_at, info) for info in infos if info.expires_at]
        return [info for _, info in sorted(found, key=lambda pair: pair[0])]

    async def delete(
        self, workspace_id: UUID, connection_id: UUID, *, field: str | None = None, actor: str = "unified"
    ) -> list[str]:
        """Delete secrets of a connection, but never those of its webhook endpoints.

        Args:
            workspace_id: The workspace.
            connection_id: The connection.
            field: Which one; None deletes all.
            actor: Who deletes them, for the audit log.

        Returns:
            The fields that are gone.

        Raises:
            ConnectionNotFoundError: If the workspace has no such connection.
        """
        async with self._db.workspace(workspace_id) as conn:
            await connection_key(conn, connection_id, lock=True)
            rows = await conn.execute(
                f"DELETE FROM connector_credentials WHERE {_OWN} "  # noqa: S608 - constant
                "AND (%s::text IS NULL OR field = %s) RETURNING field",
                (connection_id, None, field, field),
            )
            fields = sorted(row[0] for row in await rows.fetchall())
            if authorization_rows.ACCESS_TOKEN in fields:
                await authorization_rows.forget(conn, connection_id)
            await audit.record(
                conn,
                workspace_id,
                actor=actor,
                action="credential.delete",
                subject=f"connection {connection_id}",
                outcome="allowed",
                detail={"fields": fields},
            )
            return fields

    async def _decrypt(
        self, conn: AsyncConnection[Any], workspace_id: UUID, connection_id: UUID, endpoint_id: UUID | None
    ) -> tuple[Released, str]:
        """Secrets, and the master key's id (several while a rotation is under way)."""
        key = await connection_key(conn, connection_id)
        if endpoint_id is None:
            # What signs deliveries leads nowhere: they wait in the inbox until the connection may be used.
            await ensure_approved(conn, connection_id, key)
        rows = await conn.execute(
            f"""
            SELECT c.field, c.version, c.kind, c.expires_at, c.updated_at, c.expires_at <= clock_timestamp(),
                   c.ciphertext, k.wrapped_key, k.master_key_id
            FROM connector_credentials AS c
            JOIN workspace_keys AS k ON (k.workspace_id, k.id) = (c.workspace_id, c.data_key_id)
            WHERE {_OWN} ORDER BY c.field
            """,  # noqa: S608 - constant
            (connection_id, endpoint_id),
        )
        released = Released("", {}, {})
        master_key_ids: set[str] = set()
        for (
            field,
            version,
            kind,
            expires_at,
            updated_at,
            is_expired,
            ciphertext,
            *wrapping,
        ) in await rows.fetchall():
            info = CredentialInfo(connection_id, field, kind, version, expires_at, updated_at)
            released = Released(kind, released.secrets, {**released.infos, field: info})
            if is_expired and (endpoint_id is not None or kind == CredentialKind.OAUTH_TOKEN):
                continue
            if is_expired:
                raise CredentialExpiredError(
                    f"{field} of connection {key} expired on {expires_at:%Y-%m-%d at %H:%M %Z}; "
                    "make a new one at the provider and store that"
                )
            data_key = await self._provider.unwrap(*wrapping)
            place = _Place(workspace_id, connection_id, field, version, kind, expires_at)
            try:
                released.secrets[field] = Secret(place.cipher(data_key).decrypt(ciphertext).decode())
            except InvalidToken:
                raise CredentialTamperedError(
                    f"{field} of connection {key} does not decrypt: its row was changed, or copied from "
                    "another place; find out by whom, then store the credential anew"
                ) from None
            master_key_ids.add(wrapping[1])
        if not released.infos or (endpoint_id is not None and not released.secrets):
            what = "credentials" if endpoint_id is None else "secret for this webhook"
            raise CredentialNotFoundError(f"connection {key} has no {what}; store one")
        return released, ", ".join(sorted(master_key_ids))

    async def seal(
        self, conn: AsyncConnection[Any], workspace_id: UUID, connection_id: UUID, name: str, secret: Secret
    ) -> tuple[bytes, UUID]:
        """Encrypt a secret that is kept in another table, bound to a connection and a name.

        Args:
            conn: A transaction in the workspace.
            workspace_id: The workspace.
            connection_id: The connection.
            name: What tells it from the connection's other ones; without a bar.
            secret: What to encrypt.

        Returns:
            The ciphertext, and the data key that it needs.
        """
        data_key = await data_keys.current(conn, self._provider, workspace_id)
        place = _Place(workspace_id, connection_id, name, 1, _SEALED, None)
        return place.cipher(data_key.key).encrypt(secret.reveal().encode()), data_key.id

    async def unseal(
        self,
        conn: AsyncConnection[Any],
        workspace_id: UUID,
        connection_id: UUID,
        name: str,
        sealed: tuple[bytes, UUID],
    ) -> Secret:
        """Decrypt what :meth:`seal` encrypted for the same connection and name.

        Raises:
            CredentialTamperedError: If it is not as and where it was stored.
            MasterKeyError: If the data key can't be unwrapped.
        """
        ciphertext, data_key_id = sealed
        rows = await conn.execute(
            "SELECT wrapped_key, master_key_id FROM workspace_keys WHERE id = %s", (data_key_id,)
        )
        place = _Place(workspace_id, connection_id, name, 1, _SEALED, None)
        try:
            data_key = await self._provider.unwrap(*(await rows.fetchone() or (b"", "none")))
            return Secret(place.cipher(data_key).decrypt(ciphertext).decode())
        except InvalidToken:
            raise CredentialTamperedError(
                f"what was stored for connection {connection_id} does not decrypt: its row was changed, or copied "
                "from another place; find out by whom"
            ) from None


async def has_credentials(conn: AsyncConnection[Any], connection_id: UUID) -> bool:
    """Whether a connection has secrets of its own, in a transaction of its workspace."""
    query = f"SELECT FROM connector_credentials WHERE {_OWN} LIMIT 1"
    return bool((await conn.execute(query, (connection_id, None))).rowcount)


class StoredConnections:
    """Opens connections for an adapter factory: settings from the registry, secrets from the store."""

    def __init__(self, registry: Registry, credentials: CredentialStore, *, actor: str) -> None:
        """Open connections of ``registry`` in the name of ``actor``, which the audit log will show."""
        self._registry = registry
        self._credentials = credentials
        self._actor = actor

    async def open_connection(
        self, workspace_id: UUID, connection_id: UUID, *, purpose: str
    ) -> OpenedConnection:
        """Load a connection and release its secrets; raises what :meth:`CredentialStore.reveal` does."""
        released = await self._credentials.release(
            workspace_id, connection_id, actor=self._actor, purpose=purpose
        )
        connection = await self._registry.get_connection(workspace_id, connection_id)
        ref = ConnectionRef(connection.id, workspace_id, connection.key)
        return OpenedConnection(
            ref, connection.connector, connection.settings, released.secrets, released.kind
        )


def _subject(connection_id: UUID, endpoint_id: UUID | None) -> str:
    return f"connection {connection_id}" if endpoint_id is None else f"webhook {endpoint_id}"


def _checked(
    kind: str, fields: Mapping[str, Secret], expires_at: datetime | None, *, is_webhook: bool
) -> str:
    """The kind, once all of this can be stored."""
    kinds = [WEBHOOK_SECRET] if is_webhook else [str(known) for known in CredentialKind]
    if kind not in kinds:
        raise InvalidCredentialError(f"there is no credential kind {kind!r}; use one of {', '.join(kinds)}")
    if not fields:
        raise InvalidCredentialError("no credential was given; give at least one field")
    for field, secret in fields.items():
        if not _FIELD.fullmatch(field):
            raise InvalidCredentialError(
                "a credential field's name has lower-case letters, digits and _ only, such as api_key"
            )
        if not isinstance(secret, Secret):
            raise InvalidCredentialError(f"the value of {field} must come as a Secret, which no log can show")
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidCredentialError("the expiry needs a time zone")
    return str(kind)


async def _infos(conn: AsyncConnection[Any], condition: str, value: object) -> list[CredentialInfo]:
    async with conn.cursor(row_factory=class_row(CredentialInfo)) as cursor:
        await cursor.execute(_INFOS + condition, (value,))
        return await cursor.fetchall()
