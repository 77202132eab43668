"""The store of connections' secrets: put, described, released with an entry in the audit log, deleted.

Each workspace has a data key (`unified.store.secrets.data_keys`). How a value is encrypted under it, and what
a row holds, is `unified.store.secrets.rows`. Nothing decrypted is kept between two uses, data keys included.

What the secrets are used for is the adapters' business; where a connection is kept,
`unified.store.connections.registry`'s.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import CredentialKind
from unified.kit.errors import UnavailableError
from unified.kit.mapping.column_rules import Rules
from unified.kit.mapping.columns import Columns
from unified.kit.secrets import Referenced, Secret
from unified.store import audit
from unified.store.connections import waits
from unified.store.connections.approval import ConnectionNotApprovedError
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary, connection_key
from unified.store.database import Database
from unified.store.secrets import authorization_rows, data_keys
from unified.store.secrets import rows as credential_rows
from unified.store.secrets.credentials.checks import checked
from unified.store.secrets.credentials.errors import (
    CredentialError,
    CredentialExpiredError,
    CredentialNotFoundError,
    CredentialTamperedError,
    InvalidCredentialError,
)
from unified.store.secrets.credentials.releasing import Released, decrypt
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.store.secrets.keys import KeyProvider, MasterKeyError
from unified.store.secrets.rows import CredentialInfo, Place, sealed_place

_NEVER = datetime.max.replace(tzinfo=UTC)

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
        within: AsyncConnection[Any] | None = None,
    ) -> None:
        """Store secrets of a connection, each as the next version of its field; other fields stay.

        Args:
            workspace_id: The workspace.
            connection_id: The connection.
            kind: One of :class:`unified.kit.declarations.CredentialKind`; a connection's fields are all of one
                kind. Of a webhook endpoint, ``WEBHOOK_SECRET``.
            fields: Secrets by field name, at least one. Of one that is kept elsewhere the reference is stored, and
                the secret looked up each time that it is released.
            expires_at: When these fields stop being released, with a time zone; None never.
            endpoint_id: The webhook endpoint whose secrets they are; None for the connection's own.
            replace: Whether fields of another kind go: a connection has a key or an authorization, never both.
            actor: Who stores them, for the audit log.
            within: The caller's transaction in the workspace; None for one of its own.

        Raises:
            InvalidCredentialError: If the kind, a field's name or the expiry is not usable.
            ConnectionNotFoundError: If the workspace has no such connection.
            MasterKeyError: If the workspace's data key can't be unwrapped.
        """
        async with nullcontext(within) if within else self._db.workspace(workspace_id) as conn:
            kind = checked(kind, fields, expires_at, is_webhook=endpoint_id is not None)
            # Locked, so that two at once do not give out the same version.
            key = await connection_key(conn, connection_id, lock=True)
            infos = await credential_rows.read_infos(conn, connection_id, endpoint_id)
            others = {info.field: info.kind for info in infos if info.kind != kind}
            if others and not replace:
                raise InvalidCredentialError(
                    f"connection {key} has credentials of kind {others[min(others)]}; "
                    f"delete them before storing {kind}"
                )
            if others:
                await credential_rows.delete(conn, connection_id, others.keys() - fields.keys())
            references = {
                field: one.reference for field, one in fields.items() if isinstance(one, Referenced)
            }
            former = {info.field: info.version for info in infos}
            versions = {field: former.get(field, 0) + 1 for field in fields}
            data_key = await data_keys.current(conn, self._provider, workspace_id)
            for field, secret in fields.items():
                place = Place(workspace_id, connection_id, field, versions[field], kind, expires_at)
                reference = references.get(field)
                kept = Secret(reference) if reference else secret
                ciphertext = place.encrypt(data_key.key, data_key.id, kept)
                await credential_rows.write(conn, place, ciphertext, data_key.id, endpoint_id, reference)
            # A refreshed token is the same grant: what its provider refused, it still refuses.
            if endpoint_id is None and kind != CredentialKind.OAUTH_TOKEN:
                await waits.end(conn, connection_id)
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
                detail={
                    "kind": kind,
                    "versions": versions,
                    **({"references": references} if references else {}),
                },
            )

    async def keep_only(
        self, conn: AsyncConnection[Any], connection_id: UUID, fields: Collection[str]
    ) -> None:
        """Delete a connection's own secrets but some, as part of the caller's transaction in the workspace."""
        infos = await credential_rows.read_infos(conn, connection_id)
        others = {info.field for info in infos} - set(fields)
        await credential_rows.delete(conn, connection_id, others)

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
            SecretReferenceError: If one is kept elsewhere and not found there.
            UnavailableError: If Vault, which keeps it, can't be reached.
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
        """The same as :meth:`reveal`, with what may be shown of the secrets."""
        entry: dict[str, Any] = {
            "actor": actor,
            "action": "credential.reveal",
            "subject": _subject(connection_id, endpoint_id),
            "purpose": purpose,
        }
        try:
            async with self._db.workspace(workspace_id) as conn:
                released, key_ids = await decrypt(
                    conn, self._provider, workspace_id, connection_id, endpoint_id
                )
                versions = {field: released.infos[field].version for field in released.secrets}
                detail: dict[str, Any] = {"versions": versions}
                await audit.record(
                    conn, workspace_id, **entry, outcome="allowed", key_id=key_ids, detail=detail
                )
        except (CredentialError, MasterKeyError, SecretReferenceError, UnavailableError, *_DENIALS) as error:
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
            return await credential_rows.read_infos(conn, connection_id)

    async def describe_all(
        self, connections: Sequence[ConnectionSummary]
    ) -> dict[UUID, list[CredentialInfo]]:
        """The same of connections of all workspaces, by their ids; one without secrets is left out."""
        infos = await credential_rows.read_all_infos(self._db, connections)
        return {key: list(found) for key, found in groupby(infos, key=lambda info: info.connection_id)}

    async def expiring(
        self, connections: Sequence[ConnectionSummary], within: timedelta
    ) -> list[CredentialInfo]:
        """Secrets of some connections that have expired or will within a time, the first to expire first.

        A webhook endpoint's are not among them: one that expires there has been replaced already. Nor is an access
        token that is refreshed; its refresh token is, where that ends at a known time.
        """
        infos = await credential_rows.read_expiring(self._db, connections, within)
        return sorted(infos, key=lambda info: info.expires_at or _NEVER)

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
            fields = await credential_rows.delete(conn, connection_id, None if field is None else [field])
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

    async def columns(self, workspace_id: UUID, adapter: type[BaseAdapter[Any]], rules: Rules) -> Columns:
        """What a connection leaves out and hashes, with the workspace's key where it hashes.

        Args:
            workspace_id: The workspace.
            adapter: Of the connection's connector.
            rules: The connection's.

        Raises:
            CredentialTamperedError: If the key is not as it was stored.
            MasterKeyError: If the data key can't be unwrapped.
        """
        columns = Columns(rules, named=adapter.named_values)
        if not columns.is_hashing:
            return columns
        async with self._db.workspace(workspace_id) as conn:
            try:
                key = await data_keys.column_key(conn, self._provider, workspace_id)
                return Columns(rules, key, adapter.named_values)
            except InvalidToken:
                raise CredentialTamperedError(
                    "the key that columns are hashed by does not decrypt: its row was changed, or copied from another "
                    "workspace; find out by whom"
                ) from None

    async def seal(
        self, conn: AsyncConnection[Any], workspace_id: UUID, connection_id: UUID, name: str, secret: Secret
    ) -> tuple[bytes, UUID]:
        """Encrypt a secret that is kept in another table, bound to a connection and a name.

        Args:
            conn: A transaction in the workspace.
            workspace_id: The workspace.
            connection_id: The connection.
            name: What distinguishes it from the connection's other ones; without a bar.
            secret: What to encrypt.

        Returns:
            The ciphertext, and the data key that it needs.
        """
        data_key = await data_keys.current(conn, self._provider, workspace_id)
        place = sealed_place(workspace_id, connection_id, name)
        return place.encrypt(data_key.key, data_key.id, secret), data_key.id

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
        place = sealed_place(workspace_id, connection_id, name)
        try:
            data_key = await self._provider.unwrap(*(await rows.fetchone() or (b"", "none")))
            return place.decrypt(data_key, data_key_id, ciphertext)
        except InvalidToken:
            raise CredentialTamperedError(
                f"what was stored for connection {connection_id} does not decrypt: its row was changed, or copied "
                "from another place; find out by whom"
            ) from None


def _subject(connection_id: UUID, endpoint_id: UUID | None) -> str:
    return f"connection {connection_id}" if endpoint_id is None else f"webhook {endpoint_id}"
