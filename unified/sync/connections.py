"""Connections and their secrets: added, changed, tried. API, pages and command call here, and show the outcome.

The rules are the same for all three:

- Settings are checked by the connector's model, and secrets by the fields that it declares.
- A credential is tried at the provider before it is stored. What the provider refuses is not stored.
- Until an admin has approved a connection its credential is used for nothing, so a new one is stored untried.
- A connection is stored together with its credential, or not at all.
- Credentials never follow a connection to another host: they are given anew, in the same change or after they were
  deleted.
- Other credentials or settings may lead to another account or to other records: the next sync asks, and reads anew
  (`unified.sync.scope`). A change says so.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account, ConnectionRef, start_times
from unified.kit.errors import AdapterError, ConfigurationError, did_you_mean
from unified.kit.factory import AdapterFactory, build_adapter, config_of
from unified.kit.origins import origin_of
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.kit.settings import Check, checked_settings
from unified.store.connections import accounts, changes, sync_requests
from unified.store.connections.accounts import KnownAccount
from unified.store.connections.approval import ensure_approved
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL, with_earlier_start, with_more_columns
from unified.store.connections.registry import presentable
from unified.store.connections.rows import Connection, read_connection
from unified.store.database import Database
from unified.store.secrets.credentials import (
    CredentialExpiredError,
    CredentialNotFoundError,
    CredentialStore,
)
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.store.secrets.rows import read_infos
from unified.store.workspaces import workspaces
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.access.trials import account_of
from unified.sync.columns.rules import changed_columns, checked_columns, refuse_routed, rehearse
from unified.sync.columns.seen import refuse_misspelt, unseen
from unified.sync.errors import CredentialRefusedError, OtherHostError
from unified.sync.scope import identity, scope_of


class CredentialFieldsError(ConfigurationError):
    """Secrets are not the ones that their connector needs.

    Attributes:
        missing: Fields that are needed with the others.
    """

    def __init__(self, message: str, missing: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnection:
    """A connection to add.

    Attributes:
        connector: Which system.
        name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
        settings: JSON values for the adapter's settings; no secret.
        secrets: By field: all that the connector needs, or none, to be stored later.
        streams: Names of the streams to read; without any the connector's usual ones.
        columns: By stream, which fields of its records are left out or hashed.
        since: By stream, the day (ISO 8601) on which the records that are stored begin.
        history: Names of the streams whose former states are kept.
        sync_interval: How often to sync: whole minutes, up to 31 days.
        is_active: Whether to sync it by schedule.
    """

    connector: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    streams: Collection[str] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)
    history: Collection[str] = ()
    sync_interval: timedelta = DEFAULT_SYNC_INTERVAL
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """What a provider said about a credential.

    Attributes:
        account: Whose account it opens; None if it opens none, or that can't be said now.
        reason: Why not, and what to do, without a secret.
    """

    account: Account | None
    reason: str | None = None


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
                trial = await _accepted(build_adapter(new.connector, settings, new.secrets, ref))
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
            used = await self._changed_settings(conn, connection, settings or {}, secrets, check)
        if test:
            proposed = await self._changed_adapter(connection, used, secrets, chosen)
            trial = await _accepted(proposed)
        async with self._db.workspace(connection.workspace_id) as conn:
            # Locked, so that neither settings nor credentials change between the look at them and the change.
            await changes.lock(conn, connection.id, if_version)
            before = await read_connection(conn, connection.id)
            used = await self._changed_settings(conn, before, settings or {}, secrets, check)
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
        notices = _notices(before, after, account, proposed if trial else None, trial)
        if before.columns != after.columns:
            notices += map(str, await unseen(self._db, after, after.columns))
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
            trial = await _tried(adapter)
        async with self._db.workspace(workspace_id) as conn:
            return await changes.note_test(conn, connection_id, trial.reason), trial

    async def _changed_settings(
        self,
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
        merged = {
            name: value for name, value in {**connection.settings, **wanted}.items() if value is not None
        }
        settings = checked_settings(adapter, merged, check)
        leaves = origin_of(adapter.config_model, settings) != origin_of(
            adapter.config_model, connection.settings
        )
        stay = {one.field for one in await read_infos(conn, connection.id)} - secrets.keys()
        if leaves and stay:
            raise OtherHostError
        return settings

    async def _changed_adapter(
        self,
        connection: Connection,
        settings: Mapping[str, Any],
        secrets: Mapping[str, Secret],
        streams: Collection[str] | None,
    ) -> BaseAdapter[Any]:
        """The adapter of a connection as it will be: new secrets together with those that stay."""
        place = connection.workspace_id, connection.id
        async with self._db.workspace(connection.workspace_id) as conn:
            await ensure_approved(conn, connection.id, connection.key)
        ref = _ref(connection if streams is None else replace(connection, streams=[*streams]))
        if secrets.keys() >= {one.name for one in get_adapter(connection.connector).credential_fields}:
            return build_adapter(connection.connector, settings, secrets, ref)
        try:
            source = AuthorizedConnections(self._db, self._credentials, actor=self._actor)
            stored = await source.open_connection(*place, purpose="test")
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


def _notices(
    before: Connection,
    after: Connection,
    account: KnownAccount,
    tried: BaseAdapter[Any] | None,
    trial: Trial | None,
) -> list[str]:
    """What a change means for the records: said at once, though the next sync is what finds out for sure."""
    notices = []
    if tried is not None and trial is not None and trial.account is not None:
        account_id, livemode = identity(tried, trial.account)
        if account.is_other(account_id, livemode=livemode):
            notices.append(
                f"It opens another account or mode than its records are of, which is {account}. The next sync reads "
                "all of it, and what is stored of the other one counts as deleted."
            )
    reads = [scope_of(config_of(one.connector, one.settings, _ref(one))) for one in (before, after)]
    if reads[0] != reads[1]:
        notices.append("Other settings say what is read: the next sync reads everything anew.")
    if before.columns != after.columns:
        notices.append("The next sync brings what is stored to the columns that are left out or hashed now.")
    if wider := with_more_columns(before.columns, after.columns):
        notices.append(f"What was never stored is read again: that sync reads all {', '.join(wider)} anew.")
    if longer := with_earlier_start(before.since, after.since):
        notices.append(f"An earlier start: the next sync reads {', '.join(longer)} anew.")
    if before.since != after.since:
        notices += start_notices(after)
    return notices


def _ref(connection: Connection) -> ConnectionRef:
    return ConnectionRef(connection.id, connection.workspace_id, connection.key, connection.streams)


def stored_streams(adapter: type[BaseAdapter[Any]], names: Collection[str]) -> list[str]:
    """Streams as a connection keeps them: none where they are the usual ones, in whatever order they are named.

    Raises:
        ConfigurationError: If the connector has no such stream.
    """
    known = [stream.name for stream in adapter.streams]
    if unknown := sorted(set(names).difference(known)):
        raise ConfigurationError(
            f"{adapter.name} polls no stream {', '.join(unknown)}; it polls {', '.join(known)}"
            + did_you_mean(unknown[0], known)
        )
    chosen = adapter.chosen(names)
    return [] if chosen == adapter.chosen() else [stream.name for stream in chosen]


def stored_since(adapter: type[BaseAdapter[Any]], since: Mapping[str, str]) -> dict[str, str]:
    """Days on which streams begin, as a connection keeps them.

    Raises:
        ConfigurationError: If the connector has no such stream, or one is not a day.
    """
    return {adapter.stream(name).name: f"{begin:%Y-%m-%d}" for name, begin in start_times(since).items()}


def kept_history(adapter: type[BaseAdapter[Any]], names: Collection[str]) -> list[str]:
    """Streams whose former states are kept, as a connection keeps them.

    Raises:
        ConfigurationError: If the connector has no such stream, or its records happen once and never change.
    """
    streams = sorted({adapter.stream(name).name for name in names})
    if logs := [name for name in streams if adapter.stream(name).entity.is_log]:
        raise ConfigurationError(
            f"{', '.join(logs)} of {adapter.name} never change, so there is no history to keep"
        )
    return streams


async def standing_notices(db: Database, connection: Connection) -> list[str]:
    """What does not hold of a connection as somebody may have meant it, for people.

    Streams that can't be asked for from a day on, and columns that no record has.
    """
    return [*start_notices(connection), *map(str, await unseen(db, connection, connection.columns))]


def start_notices(connection: Connection) -> list[str]:
    """Which streams that it reads from a day on can't be asked for what was made since, for people."""
    adapter = get_adapter(connection.connector)
    read = [one for one in adapter.chosen(connection.streams) if one.name in connection.since]
    whole = [one.name for one in read if not one.asks_since]
    if not whole:
        return []
    named = f"{adapter.display_name} can't be asked for {', '.join(whole)} by the day on which they were made"
    return [f"{named}: all are read, and what is older is not stored."]


def check_secrets(
    adapter: type[BaseAdapter[Any]], secrets: Mapping[str, Secret], *, all_of_them: bool = True
) -> None:
    """Refuse secrets that are not the ones of a connector.

    Args:
        adapter: The connector's.
        secrets: By field.
        all_of_them: Whether none may be missing.

    Raises:
        CredentialFieldsError: If one is unknown or missing.
    """
    known = {one.name for one in adapter.credential_fields}
    if not known.issuperset(secrets):  # not named: a sender who mixes them up has sent a secret as a name
        raise CredentialFieldsError(f"{adapter.name} has {', '.join(sorted(known))}")
    if all_of_them and (missing := known - secrets.keys()):
        names = ", ".join(sorted(missing))
        raise CredentialFieldsError(f"{adapter.name} needs {names} as well", frozenset(missing))


async def _accepted(adapter: BaseAdapter[Any]) -> Trial:
    trial = await _tried(adapter)
    if trial.account is None:
        raise CredentialRefusedError(f"nothing was stored: {trial.reason}")
    return trial


async def _tried(adapter: BaseAdapter[Any]) -> Trial:
    """Ask the provider. A refusal is an answer like any other."""
    try:
        return Trial(await account_of(adapter))
    except AdapterError as error:
        return Trial(None, presentable(str(error)))
