"""Decrypting a connection's secrets. Only what is on record may leave: `unified.store.secrets.credentials.store`."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from psycopg import AsyncConnection

from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.store.connections.approval import ensure_approved
from unified.store.connections.rows import connection_key
from unified.store.secrets import rows as credential_rows
from unified.store.secrets.credentials.errors import (
    CredentialExpiredError,
    CredentialNotFoundError,
    CredentialTamperedError,
)
from unified.store.secrets.elsewhere.references import SecretReferenceError, resolve
from unified.store.secrets.keys import KeyProvider
from unified.store.secrets.rows import CredentialInfo, Place


@dataclass(frozen=True, slots=True)
class Released:
    """A connection's secrets, outside the store.

    Attributes:
        kind: One of :class:`unified.kit.declarations.CredentialKind`; all of a connection's are of one.
        secrets: By field. Of a kind that somebody refreshes, those that are not expired.
        infos: What may be shown of each field, expired ones included.
    """

    kind: str
    secrets: dict[str, Secret]
    infos: dict[str, CredentialInfo]


async def decrypt(
    conn: AsyncConnection[Any],
    provider: KeyProvider,
    workspace_id: UUID,
    connection_id: UUID,
    endpoint_id: UUID | None,
) -> tuple[Released, str]:
    """A connection's secrets, or those of one of its webhook endpoints.

    Args:
        conn: A transaction in the workspace.
        provider: Of the master keys.
        workspace_id: The workspace.
        connection_id: The connection.
        endpoint_id: The webhook endpoint; None for the connection's own.

    Returns:
        Secrets, and the master key's id (several while a rotation is under way).

    Raises:
        As :meth:`unified.store.secrets.credentials.store.CredentialStore.reveal`.
    """
    key = await connection_key(conn, connection_id)
    if endpoint_id is None:
        # What signs deliveries leads nowhere: they wait in the inbox until the connection may be used.
        await ensure_approved(conn, connection_id, key)
    found = await credential_rows.read_sealed(conn, connection_id, endpoint_id)
    secrets: dict[str, Secret] = {}
    master_key_ids: set[str] = set()
    for info, is_expired, ciphertext, data_key_id, wrapped in found:
        if is_expired and (endpoint_id is not None or info.kind == CredentialKind.OAUTH_TOKEN):
            continue
        if is_expired:
            raise CredentialExpiredError(
                f"{info.field} of connection {key} expired on {info.expires_at:%Y-%m-%d at %H:%M %Z}; "
                "make a new one at the provider and store that"
            )
        data_key = await provider.unwrap(*wrapped)
        place = Place(workspace_id, connection_id, info.field, info.version, info.kind, info.expires_at)
        try:
            secrets[info.field] = place.decrypt(data_key, data_key_id, ciphertext)
        except InvalidToken:
            raise CredentialTamperedError(
                f"{info.field} of connection {key} does not decrypt: its row was changed, or copied from "
                "another place; find out by whom, then store the credential anew"
            ) from None
        if info.reference is not None:
            secrets[info.field] = await _found(secrets[info.field], info, workspace_id, key)
        master_key_ids.add(wrapped.key_id)
    if not found or (endpoint_id is not None and not secrets):
        what = "credentials" if endpoint_id is None else "secret for this webhook"
        raise CredentialNotFoundError(f"connection {key} has no {what}; store one")
    infos = {sealed.info.field: sealed.info for sealed in found}
    return Released(found[-1].info.kind, secrets, infos), ", ".join(sorted(master_key_ids))


async def _found(kept: Secret, info: CredentialInfo, workspace_id: UUID, key: str) -> Secret:
    """A secret that is kept elsewhere; ``kept`` is what was encrypted here."""
    reference = kept.reveal()
    if reference != info.reference:
        raise CredentialTamperedError(
            f"{info.field} of connection {key} names another place than was stored: its row was changed; find out by "
            "whom, then store the credential anew"
        )
    try:
        return await resolve(reference, workspace_id)
    except SecretReferenceError as error:
        raise SecretReferenceError(f"{info.field} of connection {key}: {error}") from None
