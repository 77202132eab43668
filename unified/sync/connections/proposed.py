"""A connection as a change would make it, before anything is stored: its settings, and the adapter to try it by."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.factory import build_adapter
from unified.kit.origins import origin_of
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.kit.settings import Check, checked_settings
from unified.store.connections.approval import ensure_approved
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.rows import read_infos
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.errors import OtherHostError


async def changed_settings(
    conn: Any,
    connection: Connection,
    wanted: Mapping[str, Any],
    secrets: Mapping[str, Secret],
    check: Check | None,
) -> Mapping[str, Any]:
    """All settings of a connection as it will be, checked.

    Raises:
        UnusableSettingsError: If they do not fit its connector.
        OtherHostError: If credentials that stay would go to another host.
    """
    if not wanted:
        return connection.settings
    adapter = get_adapter(connection.connector)
    merged = {name: value for name, value in {**connection.settings, **wanted}.items() if value is not None}
    settings = checked_settings(adapter, merged, check)
    leaves = origin_of(adapter.config_model, settings) != origin_of(adapter.config_model, connection.settings)
    stay = {one.field for one in await read_infos(conn, connection.id)} - secrets.keys()
    if leaves and stay:
        raise OtherHostError
    return settings


async def changed_adapter(
    db: Database,
    credentials: CredentialStore,
    connection: Connection,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Secret],
    streams: Collection[str] | None,
    *,
    actor: str,
) -> BaseAdapter[Any]:
    """The adapter of a connection as it will be: new secrets together with those that stay."""
    async with db.workspace(connection.workspace_id) as conn:
        await ensure_approved(conn, connection.id, connection.key)
    ref = connection.ref if streams is None else replace(connection.ref, streams=[*streams])
    if secrets.keys() >= {one.name for one in get_adapter(connection.connector).credential_fields}:
        return build_adapter(connection.connector, settings, secrets, ref)
    try:
        source = AuthorizedConnections(db, credentials, actor=actor)
        stored = await source.open_connection(connection.workspace_id, connection.id, purpose="test")
    except CredentialNotFoundError:
        if not secrets:
            raise
        return build_adapter(connection.connector, settings, secrets, ref)  # it says which one it lacks
    return build_adapter(
        connection.connector,
        settings,
        {**stored.credentials, **secrets},
        ref,
        tokens=None if secrets else stored.tokens,
    )
