"""What a file says of connections, beside those that are there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from unified.kit.mapping.column_rules import Rules
from unified.kit.registry import get_adapter
from unified.kit.secrets import Referenced, Secret
from unified.kit.settings import checked_settings
from unified.store import removal
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.secrets.credentials.errors import CredentialExpiredError, CredentialNotFoundError
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import Workspace
from unified.sync.columns.rules import changed_columns, checked_columns
from unified.sync.columns.seen import refuse_misspelt
from unified.sync.connections.changing import Connections
from unified.sync.connections.wanted import (
    NewConnection,
    check_secrets,
    kept_history,
    stored_since,
    stored_streams,
)
from unified.sync.declared.document import DeclaredConnection
from unified.sync.declared.steps import Ground, Step


async def connection_steps(
    ground: Ground, workspace: Workspace | None, name: str, wanted: DeclaredConnection, now: Connection | None
) -> list[Step]:
    """What makes a connection as the file says; its webhooks and rules are not among it.

    Args:
        ground: Where.
        workspace: The workspace, if it is there already.
        name: The connection's.
        wanted: What the file says.
        now: The connection, if it is there already.

    Raises:
        AdapterError, StoreError, SyncError: If it can't be made so.
    """
    found = await ground.references.all(wanted.secrets)
    kept = await ground.references.kept(wanted.references, workspace.id if workspace else None)
    secrets = found | kept
    if now is None:
        return [await _new(ground, workspace, name, wanted, secrets)]
    path = ("connections", name)
    if now.connector != wanted.connector:
        reason = f"it is a connection to {now.connector}; remove it first, or give this one another name"
        return [Step(kind="connection", name=name, action="refused", detail=[reason], path=path)]
    return [
        await _changed(ground, name, wanted, now, secrets),
        *_activity(ground, name, wanted, now),
        *_extra_settings(ground, name, wanted, now),
    ]


def extra_connection(ground: Ground, connection: Connection) -> Step:
    """A connection that the file does not name."""

    async def remove() -> Sequence[str]:
        await removal.remove_connection(ground.db, connection.workspace_id, connection.id, actor=ground.actor)
        return ()

    detail = ["with its webhooks, rules and records"]
    return Step(kind="connection", name=connection.name, action="extra", detail=detail, carry_out=remove)


def brought_settings(connector: str) -> frozenset[str]:
    """The settings that an OAuth grant brings (Salesforce's ``instance_url``): nobody writes them into a file."""
    oauth = get_adapter(connector).oauth
    return frozenset((*oauth.answer_settings.values(), *oauth.redirect_settings.values()) if oauth else ())


async def _new(
    ground: Ground,
    workspace: Workspace | None,
    name: str,
    wanted: DeclaredConnection,
    secrets: Mapping[str, Secret],
) -> Step:
    new = NewConnection(
        connector=wanted.connector,
        name=name,
        settings=wanted.settings,
        secrets=secrets,
        streams=wanted.streams or (),
        columns=wanted.columns or {},
        since=wanted.since or {},
        history=wanted.history or (),
        sync_interval=timedelta(minutes=wanted.interval_minutes)
        if wanted.interval_minutes
        else DEFAULT_SYNC_INTERVAL,
        is_active=wanted.active is not False,
    )
    adapter = get_adapter(wanted.connector)
    checked_settings(adapter, wanted.settings)
    stored_streams(adapter, new.streams)
    checked_columns(adapter, new.columns, wanted.settings)
    stored_since(adapter, new.since)
    kept_history(adapter, new.history)
    if secrets:
        check_secrets(adapter, secrets)
    if workspace:
        await _connections(ground).rehearse(workspace.id, new)

    async def add() -> Sequence[str]:
        owner = await _workspace_id(ground)
        connection, trial = await _connections(ground).add(owner, new, test=ground.test)
        if trial and trial.account:
            return [f"the credential opens account {trial.account.id}"]
        if connection.approval != "approved":
            return ["it is used once an admin of its workspace has approved it"]
        return (
            ()
            if secrets
            else ["it has no secret yet; `unified connections authorize` or `update --secret` follows"]
        )

    detail = [wanted.connector, *([f"secrets {', '.join(sorted(secrets))}"] if secrets else [])]
    return Step(
        kind="connection", name=name, action="add", detail=detail, path=("connections", name), carry_out=add
    )


async def _changed(
    ground: Ground, name: str, wanted: DeclaredConnection, now: Connection, secrets: Mapping[str, Secret]
) -> Step:
    adapter = get_adapter(now.connector)
    whole = checked_settings(adapter, {**now.settings, **wanted.settings})
    settings = {key: whole.get(key) for key in wanted.settings if whole.get(key) != now.settings.get(key)}
    interval = timedelta(minutes=wanted.interval_minutes) if wanted.interval_minutes else now.sync_interval
    read = adapter.chosen(now.streams)
    wanted_streams = None if wanted.streams is None else stored_streams(adapter, wanted.streams)
    will_read = read if wanted_streams is None else adapter.chosen(wanted_streams)
    columns = changed_columns(adapter, now, wanted.columns, whole)
    since = now.since if wanted.since is None else stored_since(adapter, wanted.since)
    history = now.history if wanted.history is None else kept_history(adapter, wanted.history)
    are_other = columns is not None and columns != now.columns
    if columns and are_other:
        await refuse_misspelt(ground.db, now, columns)
    other, unknown = await _other_secrets(ground, now, secrets)
    detail = [
        *(f"{key}: {now.settings.get(key, 'not set')} -> {value}" for key, value in settings.items()),
        *(f"reads {stream.name}" for stream in will_read if stream not in read),
        *(f"reads {stream.name} no longer" for stream in read if stream not in will_read),
        *(
            f"{stream} since {since.get(stream, 'the beginning')}"
            for stream in sorted(now.since.keys() | since.keys())
            if since.get(stream) != now.since.get(stream)
        ),
        *(f"keeps the history of {stream}" for stream in history if stream not in now.history),
        *(f"keeps the history of {stream} no longer" for stream in now.history if stream not in history),
        *(_columns_changed(now.columns, columns) if columns is not None else ()),
        *(
            [f"every {_minutes(now.sync_interval)} min -> {_minutes(interval)}"]
            if interval != now.sync_interval
            else []
        ),
        *(f"secret {field} is another one" for field in sorted(other)),
    ]
    if unknown:
        detail.append("its secrets are not compared before an admin has approved it")

    is_tried = bool(settings or other or will_read != read)

    async def change() -> Sequence[str]:
        changed = await _connections(ground).change(
            await ground.connection(name),
            settings=settings or None,
            streams=None if will_read == read else wanted_streams,
            columns=columns if are_other else None,
            since=since if since != now.since else None,
            history=history if history != now.history else None,
            sync_interval=interval if interval != now.sync_interval else None,
            secrets={field: secrets[field] for field in other},
            test=ground.test and now.approval == "approved" and is_tried,
        )
        return changed.notices

    is_other = (
        is_tried or are_other or since != now.since or history != now.history or interval != now.sync_interval
    )
    return Step(
        kind="connection",
        name=name,
        action="change" if is_other else "same",
        detail=detail,
        path=("connections", name),
        carry_out=change if is_other else None,
    )


def _columns_changed(now: Rules, wanted: Rules) -> Iterator[str]:
    """What becomes of which field, where it is not as before."""
    for stream in sorted(now.keys() | wanted.keys()):
        before, after = now.get(stream, {}), wanted.get(stream, {})
        for field in sorted(before.keys() | after.keys()):
            if before.get(field) != after.get(field):
                yield f"{stream}.{field}: {before.get(field, 'stored')} -> {after.get(field, 'stored')}"


def _activity(ground: Ground, name: str, wanted: DeclaredConnection, now: Connection) -> Iterator[Step]:
    if wanted.active in (None, now.is_active):
        return

    async def activate() -> Sequence[str]:
        await Registry(ground.db).update_connection(
            now.workspace_id, now.id, is_active=wanted.active, actor=ground.actor
        )
        return ()

    yield Step(
        kind="connection",
        name=name,
        action="change",
        detail=["resume it" if wanted.active else "pause it"],
        path=("connections", name, "active"),
        carry_out=activate,
    )


def _extra_settings(ground: Ground, name: str, wanted: DeclaredConnection, now: Connection) -> Iterator[Step]:
    extra = sorted(now.settings.keys() - wanted.settings.keys() - brought_settings(now.connector))
    if not extra:
        return

    async def unset() -> Sequence[str]:
        changed = await _connections(ground).change(
            await ground.connection(name), settings=dict.fromkeys(extra), test=False
        )
        return changed.notices

    detail = [f"the setting {key}" for key in extra]
    yield Step(kind="connection", name=name, action="extra", detail=detail, carry_out=unset)


async def _other_secrets(
    ground: Ground, connection: Connection, secrets: Mapping[str, Secret]
) -> tuple[Collection[str], bool]:
    """The fields whose stored secret is another one or missing, and whether that can't be said."""
    if not secrets:
        return (), False
    check_secrets(get_adapter(connection.connector), secrets, all_of_them=False)
    if connection.approval != "approved":
        return (), True
    stored: Mapping[str, Secret] = {}
    with suppress(
        CredentialNotFoundError, CredentialExpiredError, SecretReferenceError
    ):  # then all of them are stored anew
        stored = await ground.credentials.reveal(
            connection.workspace_id, connection.id, actor=ground.actor, purpose="compare"
        )
    return [
        field
        for field, secret in secrets.items()
        if field not in stored or _said(stored[field]) != _said(secret)
    ], False


def _said(secret: Secret) -> tuple[str | None, str]:
    """What two equal secrets have in common: where they are kept, and their value."""
    return secret.reference if isinstance(secret, Referenced) else None, secret.reveal()


async def _workspace_id(ground: Ground) -> UUID:
    return (await workspaces.find(ground.db, ground.workspace)).id


def _connections(ground: Ground) -> Connections:
    return Connections(ground.db, ground.credentials, actor=ground.actor)


def _minutes(interval: timedelta) -> int:
    return interval // timedelta(minutes=1)
