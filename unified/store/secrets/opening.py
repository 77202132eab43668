"""Opens stored connections for an adapter factory: settings from the registry, secrets from the credential store.

Whose tokens refresh themselves is opened by `unified.sync.access.authorization`, which builds on this.
"""

from uuid import UUID

from unified.kit.factory import OpenedConnection
from unified.kit.registry import get_adapter
from unified.store.connections.registry import Registry
from unified.store.secrets.credentials.store import CredentialStore


class StoredConnections:
    """Opens connections as they are stored."""

    def __init__(self, registry: Registry, credentials: CredentialStore, *, actor: str) -> None:
        """Open connections of ``registry`` in the name of ``actor``, which the audit log will show."""
        self._registry = registry
        self._credentials = credentials
        self._actor = actor

    async def open_connection(
        self, workspace_id: UUID, connection_id: UUID, *, purpose: str
    ) -> OpenedConnection:
        """Load a connection and release its secrets; raises what :meth:`CredentialStore.reveal` does."""
        connection = await self._registry.get_connection(workspace_id, connection_id)
        ref = connection.ref
        adapter = get_adapter(connection.connector)
        columns = await self._credentials.columns(workspace_id, adapter, connection.columns)
        if not adapter.takes_credential():
            return OpenedConnection(ref, connection.connector, connection.settings, {}, columns=columns)
        released = await self._credentials.release(
            workspace_id, connection_id, actor=self._actor, purpose=purpose
        )
        return OpenedConnection(
            ref, connection.connector, connection.settings, released.secrets, released.kind, columns=columns
        )
