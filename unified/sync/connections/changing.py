"""Adding, changing and trying a connection, in somebody's name. The rules are those of the room."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from unified.kit.declarations import ConnectionRef
from unified.kit.factory import AdapterFactory, build_adapter
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.kit.settings import Check, checked_settings
from unified.store.connections import accounts, changes, sync_requests
from unified.store.connections.registry import presentable
from unified.store.connections.rows import Connection, read_connection
from unified.store.database import Database
from unified.store.secrets.credentials.errors import CredentialExpiredError, CredentialNotFoundError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.store.workspaces import workspaces
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.columns.rules import changed_columns, checked_columns, refuse_routed, rehearse
from unified.sync.columns.seen import refuse_misspelt
from unified.sync.connections.notices import notices_of_change
from unified.sync.connections.proposed import changed_adapter, changed_settings
from unified.sync.connections.trials import Trial, accepted, tried
from unified.sync.connections.wanted import (
    NewConnection,
    check_secrets,
    kept_history,
    stored_since,
    stored_streams,
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A connection that was changed.

    Attributes:
        connection: As it is now.
        trial: What the provider said beforehand, if it was asked.
        notices: What follows for its records, for people.
    """

    connection: Connection
    trial: Trial | None
    notices: Sequence[str] = ()


class Connections:
    """Adds, changes and tries connections in somebody's name."""

    def __init__(self, db: Database, credentials: CredentialStore, *, actor: str) -> None:
        """Work on ``db`` in the name of ``actor``, which the audit log will show."""
        self._db = db
        self._credentials = credentials
        self._actor = actor

    async def rehearse(self, workspace_id: UUID, new: NewConnection) -> None:
        """Refuse what can't be added whatever its secrets are, before a person is asked for them.

        Args:
            workspace_id: The workspace.
            new: The connection.

        Raises:
            ConfigurationError: If there is no such connector, it has no such stream, or a column can't be left out.
            UnusableSettingsError: If the settings do not fit it.
            DuplicateNameError: If the workspace has a connection of that name.
            InvalidSettingError: If the name or the interval is not usable.
            WorkspaceNotFoundError: If there is no such workspace.
        """
        settings = checked_settings(get_adapter(new.connector, workspace_id), new.settings)
        async with self._db.workspace(workspace_id) as conn, conn.transaction(force_rollback=True):
            await self._store(conn, workspace_id, new, settings)

    async def add(
        self, workspace_id: UUID, new: NewConnection, *, check: Check | None = None, test: bool = True
    ) -> tuple[Connection, Trial | None]:
        """Add a connection.

        Args:
            workspace_id: The workspace.
            new: The connection, with its secrets or without any.
            check: A further rule for its settings.
            test: Whether to try the secrets, if there are any, at the provider first. Where new connections wait for
                approval they are not tried.

        Returns:
            The connection, and the trial if there was one.

        Raises:
            ConfigurationError: If there is no such connector, or it has no such stream.
            UnusableSettingsError: If the settings do not fit it.
            CredentialFieldsError: If the secrets are not the ones that it needs.
            CredentialRefusedError: If the provider refuses them, as where they may not read one of the streams.
            DuplicateNameError: If the workspace has a connection of that name.
            InvalidSettingError: If the name or the interval is not usable.
            WorkspaceNotFoundError: If there is no such workspace.
        """
        adapter = get_adapter(new.connector, workspace_id)
        settings = checked_settings(adapter, new.settings, check)
        trial = None
        if new.secrets:
            check_secrets(adapter, new.secrets)
            workspace = await workspaces.read(self._db, workspace_id)
            if test and not workspace.requires_approval:
                ref = ConnectionRef(uuid4(), workspace_id, f"{workspace.slug}/{new.name}", [*new.streams])
                trial = await accepted(build_adapter(new.connector, settings, new.secrets, ref))
        async with self._db.workspace(workspace_id) as conn:
            connection = await self._store(conn, workspace_id, new, settings)
            if new.secrets:
                await self._credentials.put(
                    workspace_id,
                    connection.id,
                    adapter.credential_kind,
                    new.secrets,
                    actor=self._actor,
                    within=conn,
                )
            if trial:
                connection = await changes.note_test(conn, connection.id, trial.reason)
        return connection, trial

    async def _store(
        self, conn: Any, workspace_id: UUID, new: NewConnection, settings: Mapping[str, Any]
    ) -> Connection:
        return await changes.add(
            conn,
            workspace_id,
            new.connector,
            new.name,
            settings,
            streams=stored_streams(get_adapter(new.connector), new.streams),
            columns=checked_columns(get_adapter(new.connector), new.columns, settings),
            since=stored_since(get_adapter(new.connector), new.since),
            history=kept_history(get_adapter(new.connector), new.history),
            sync_interval=new.sync_interval,
            is_active=new.is_active,
            actor=self._actor,
        )

    async def change(
        self,
        connection: Connection,
        *,
        settings: Mapping[str, Any] | None = None,
        streams: Collection[str] | None = None,
        columns: Mapping[str, Mapping[str, str]] | None = None,
        since: Mapping[str, str] | None = None,
        history: Collection[str] | None = None,
        sync_interval: timedelta | None = None,
        secrets: Mapping[str, Secret] | None = None,
        expires_at: datetime | None = None,
        check: Check | None = None,
        if_version: int | None = None,
        test: bool = True,
    ) -> Changed:
        """Change settings, streams or the interval, replace secrets; what is not given stays as it is.

        Args:
            connection: Which connection.
            settings: Settings to change; None takes one back to its default.
            streams: Names of the streams to read; without any the connector's usual ones. Records of one that is left
                out stay as they are.
            columns: All that is left out or hashed of its streams' records. A sync is asked for, which brings what is
                stored to that: :func:`unified.sync.columns.settling.settle`.
            history: Names of all streams whose former states are kept from now on. Those that are kept of others stay.
            since: All days on which streams begin. What is stored from before stays, and is kept up to date.
            sync_interval: How often to sync it.
            secrets: By field; each becomes the next version of its field, the other fields stay.
            expires_at: When these secrets stop being released, with a time zone; None never.
            check: A further rule for its settings.
            if_version: Change it only if this is still its version.
            test: Whether to try the connection as it will be at the provider first.

        Raises:
            OtherHostError: If credentials that stay would go to another host.
            VersionConflictError: If it has another version by now.
            UnusableSettingsError: If the settings do not fit its connector.
            ConfigurationError: If its connector has no such stream, or a column can't be left out.
            InvalidSettingError: If a route needs one that is left out.
            CredentialFieldsError: If its connector has no such secrets.
            ConnectionNotApprovedError: If it is to be tried and is not approved.
            CredentialRefusedError: If the provider refuses the credential, or it may not read one of the streams.
            CredentialError: If the secrets can't be stored, or those that stay can't be released.
            ConnectionNotFoundError: If it was removed meanwhile.
        """
        adapter, secrets = get_adapter(connection.connector), secrets or {}
        check_secrets(adapter, secrets, all_of_them=False)
        chosen = None if streams is None else stored_streams(adapter, streams)
        rules = changed_columns(adapter, connection, columns, {**connection.settings, **(settings or {})})
        days = None if since is None else stored_since(adapter, since)
        kept = None if history is None else kept_history(adapter, history)
        if rules:
            await refuse_misspelt(self._db, connection, rules)
            await rehearse(self._db, connection, rules)
        trial = None
        async with self._db.workspace(connection.workspace_id) as conn:
            used = await changed_settings(conn, connection, settings or {}, secrets, check)
        if test:
            proposed = await changed_adapter(
                self._db, self._credentials, connection, used, secrets, chosen, actor=self._actor
            )
            trial = await accepted(proposed)
        async with self._db.workspace(connection.workspace_id) as conn:
            # Locked, so that neither settings nor credentials change between the look at them and the change.
            await changes.lock(conn, connection.id, if_version)
            before = await read_connection(conn, connection.id)
            used = await changed_settings(conn, before, settings or {}, secrets, check)
            account = await accounts.known(conn, connection.id)
            if secrets:
                await self._credentials.put(
                    connection.workspace_id,
                    connection.id,
                    adapter.credential_kind,
                    secrets,
                    expires_at,
                    replace=True,
                    actor=self._actor,
                    within=conn,
                )
            if rules:
                await refuse_routed(conn, before, rules)
            if rules is not None and rules != before.columns:
                await sync_requests.request(conn, connection.id)
            if any(one is not None for one in (settings, chosen, rules, days, kept, sync_interval)):
                await changes.update(
                    conn,
                    connection.id,
                    settings=None if settings is None else used,
                    streams=chosen,
                    columns=None if rules == before.columns else rules,
                    since=None if days == before.since else days,
                    history=kept,
                    sync_interval=sync_interval,
                    actor=self._actor,
                )
            after = (
                await changes.note_test(conn, connection.id, trial.reason)
                if trial
                else await read_connection(conn, connection.id)
            )
        tried_by = proposed if trial else None
        notices = await notices_of_change(self._db, before, after, account, tried_by, trial)
        return Changed(after, trial, notices)

    async def test(self, workspace_id: UUID, connection_id: UUID) -> tuple[Connection, Trial]:
        """Ask the provider whose account a connection's stored credential opens, and note the answer.

        Raises:
            ConnectionNotApprovedError: If the connection is not approved.
            ConnectionNotFoundError: If the workspace has no such connection.
            ConfigurationError: If its settings do not fit its connector.
        """
        source = AuthorizedConnections(self._db, self._credentials, actor=self._actor)
        try:
            adapter = await AdapterFactory(source).create(workspace_id, connection_id, purpose="test")
        except (CredentialNotFoundError, CredentialExpiredError, SecretReferenceError) as error:
            trial = Trial(None, presentable(str(error)))
        else:
            trial = await tried(adapter)
        async with self._db.workspace(workspace_id) as conn:
            return await changes.note_test(conn, connection_id, trial.reason), trial
