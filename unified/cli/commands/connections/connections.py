"""`unified connections`: a workspace's use of a connector, with its settings and encrypted credentials."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson, Name, Yes, confirm
from unified.cli.commands.connections import authorize
from unified.cli.commands.connections.show import described, history, listed_secrets, secrets_text, show
from unified.cli.installation import is_embedded, migrate_database
from unified.cli.output import out, print_json, say, table
from unified.cli.secrets import read_secrets, secrets_elsewhere
from unified.cli.session import ACTOR, DEFAULT_WORKSPACE, CommandError, Session, asynchronous, open_session
from unified.cli.settings import (
    chosen_columns,
    chosen_history,
    chosen_settings,
    chosen_since,
    chosen_streams,
    shown_settings,
)
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import UNKNOWN_ACCOUNT, CredentialKind
from unified.kit.oauth import declared
from unified.kit.registry import get_adapter
from unified.store import removal
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL
from unified.store.connections.rows import streams_read
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import Workspace, WorkspaceNotFoundError
from unified.sync.columns.settling import settle
from unified.sync.connections.notices import standing_notices
from unified.sync.connections.trials import Trial
from unified.sync.connections.wanted import NewConnection

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list, show, test, change and remove connections. NAME is `workspace/name`, or `name` where only one "
    "workspace has it.",
)

app.command("authorize")(authorize.authorize)
app.command("revoke")(authorize.revoke)
app.command("show")(show)
app.command("history")(history)

BaseUrl = Annotated[str | None, typer.Option(help="Base URL of the API, if it is not the usual one.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another setting; `unified connectors` lists them. Repeatable."
    ),
]
SecretStdin = Annotated[
    bool,
    typer.Option(
        "--secret-stdin", help="Read the secret from standard input (several: lines of name=secret)."
    ),
]
SecretFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--secret-from",
        metavar="FIELD=REFERENCE",
        help="Keep a secret where it is, and look it up at each use: env:NAME, file:PATH or vault:MOUNT/PATH#FIELD, "
        "where UNIFIED_SECRET_REFERENCES lets it be (docs/keys.md). Repeatable.",
    ),
]
PrivateHosts = Annotated[
    bool | None,
    typer.Option(
        "--allow-private-hosts/--refuse-private-hosts", help="Whether BASE_URL may be a local address."
    ),
]
NoTest = Annotated[bool, typer.Option("--no-test", help="Do not try the credential at the provider first.")]
Streams = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Streams to read, by commas; `usual` or `all`. `unified connectors` lists them. A new connection reads "
        "the usual ones.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="RULES",
        help="Fields of the source's records that are not stored, or hashed by the workspace's key, by commas: "
        "customers.email=hash,customers.address=omit; `none` for none. They take the place of all former ones.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="DAY",
        help="Store what was made on that day (2025-01-31, UTC) or later: of all streams, of some "
        "(invoices=2025-01-31,events=2026-01-01), or `none` for no start.",
    ),
]
History = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Streams whose former states are kept in customers_history, invoices_history and records_history, by "
        "commas; `all` or `none`.",
    ),
]
Minutes = Annotated[
    int | None, typer.Option(min=1, max=44_640, help="Minutes between two syncs; a new connection has 60.")
]


@app.command()
@asynchronous
async def add(
    connector: Annotated[str, typer.Argument(help="The system to connect; `unified connectors` lists them.")],
    name: Annotated[
        str, typer.Argument(help="Its name in the workspace: lower-case letters, digits, hyphens.")
    ],
    *,
    workspace: Annotated[str, typer.Option(help="The workspace that it belongs to.")] = DEFAULT_WORKSPACE,
    base_url: BaseUrl = None,
    allow_private_hosts: PrivateHosts = None,
    settings: Settings = None,
    streams: Streams = None,
    columns: Columns = None,
    since: Since = None,
    history: History = None,
    interval: Minutes = None,
    secret_stdin: SecretStdin = False,
    secret_from: SecretFrom = None,
    no_test: NoTest = False,
    oauth: Annotated[
        bool,
        typer.Option("--oauth", help="Add it without a secret; `unified connections authorize` follows."),
    ] = False,
) -> None:
    """Add a connection, after trying its credential at the provider.

    The secret comes by a hidden prompt, by --secret-stdin, or from the environment: UNIFIED_SECRET_ and the
    field's name in capitals, such as UNIFIED_SECRET_API_KEY. It is stored encrypted. The workspace
    `default` is made when first needed; others with `unified workspaces add`.
    """
    async with open_session(begins=True) as session:
        adapter = get_adapter(connector)
        chosen = chosen_settings(adapter, settings, base_url, allow_private_hosts=allow_private_hosts)
        if is_embedded():
            migrate_database(session.db.url)  # the adapter may have been installed just now
        owner = await _workspace(session, workspace)
        # Before anybody is asked for a secret: there may be no key for it, and the name may be taken.
        connections = session.connections()
        new = NewConnection(
            connector=connector,
            name=name,
            settings=chosen,
            streams=chosen_streams(adapter, streams) if streams is not None else (),
            columns=chosen_columns(columns) if columns is not None else {},
            since=chosen_since(adapter, since) if since is not None else {},
            history=chosen_history(adapter, history) if history is not None else (),
            sync_interval=timedelta(minutes=interval) if interval else DEFAULT_SYNC_INTERVAL,
        )
        await connections.rehearse(owner.id, new)
        oauth = oauth or adapter.credential_kind is CredentialKind.OAUTH_TOKEN
        if oauth:
            declared(adapter)
        elsewhere = await secrets_elsewhere(secret_from, owner.id)
        asked = [] if oauth else [one for one in adapter.credential_fields if one.name not in elsewhere]
        secrets = (read_secrets(asked, from_stdin=secret_stdin) if asked else {}) | elsewhere
        connection, trial = await connections.add(owner.id, replace(new, secrets=secrets), test=not no_test)
        _say_trial(adapter, trial)
        for notice in await standing_notices(session.db, connection):
            say(notice)
    if oauth:
        say(f"Added {connection.key}. `unified connections authorize {connection.key}` comes next.")
        return
    if connection.approval != "approved":
        say(f"Added {connection.key}. It is used once an admin of {owner.slug} has approved it.")
        return
    if not adapter.streams:
        say(f"Added {connection.key}. `unified webhooks add {connection.key}` makes the URL to deliver to.")
        return
    say(f"Added {connection.key}. `unified sync {connection.key}` pulls it now, `unified dev` by schedule.")


@app.command("list")
@asynchronous
async def list_(
    *,
    workspace: Annotated[str | None, typer.Option(help="List only this workspace's connections.")] = None,
    as_json: AsJson = False,
) -> None:
    """List connections and when their secrets were stored."""
    async with open_session() as session:
        if workspace:
            await workspaces.find(session.db, workspace)
        connections = [
            one for one in await session.registry.all_connections() if workspace in (None, one.workspace)
        ]
        settings = await session.registry.settings(connections)
        reads = await streams_read(session.db, connections)
        secrets = await session.credentials().describe_all(connections)
        found = [
            {
                **described(one, settings[one.id], reads.get(one.id, [])),
                "secrets": listed_secrets(secrets.get(one.id, ())),
            }
            for one in connections
            if one.id in settings  # it may have been removed in between
        ]
    if as_json:
        print_json(found)
        return
    table(
        ("NAME", "CONNECTOR", "SYNCED", "SETTINGS", "SECRETS"),
        (
            (
                each["name"],
                each["connector"],
                f"every {each['interval_minutes']} min" if each["is_active"] else "paused",
                shown_settings(each["settings"]),
                secrets_text(each["secrets"]),
            )
            for each in found
        ),
        empty="There are no connections yet; `unified connections add` makes one.",
    )


@app.command()
@asynchronous
async def test(name: Name) -> None:
    """Ask the provider whose account the stored credential opens."""
    async with open_session() as session:
        connection = await session.connection(name)
        _, trial = await session.connections().test(connection.workspace_id, connection.id)
    if trial.account is None:
        raise CommandError(trial.reason or "the provider gave no reason")
    _say_trial(get_adapter(connection.connector), trial)


@app.command()
@asynchronous
async def notify(
    name: Name,
    place: Annotated[
        str, typer.Argument(help="Where: the id of a channel, the key of a project or an issue.")
    ],
    text: Annotated[str, typer.Argument(help="What to say.")],
) -> None:
    """Say something to people by a connection: a message in a Slack channel, an issue or a comment in Jira."""
    async with open_session() as session:
        connection = await session.connection(name)
        adapter = await session.adapters().create(connection.workspace_id, connection.id, purpose="notify")
        async with adapter:
            say(f"Sent {await adapter.notify(place, text)}.")


@app.command()
@asynchronous
async def update(
    name: Name,
    *,
    base_url: BaseUrl = None,
    allow_private_hosts: PrivateHosts = None,
    settings: Settings = None,
    streams: Streams = None,
    columns: Columns = None,
    since: Since = None,
    history: History = None,
    interval: Minutes = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="Replace the secret; asks, or takes the environment's.")
    ] = False,
    secret_stdin: SecretStdin = False,
    secret_from: SecretFrom = None,
    no_test: NoTest = False,
) -> None:
    """Change a connection's settings or streams, or replace its secret.

    Its records stay, those of a stream that is left out as well, unless the secret opens another account: then the next
    sync reads that one, and what is stored of the former one counts as deleted. Another host is given the secret anew
    (--secret). What was given is tried at the provider first, as with `unified connections add`.
    """
    async with open_session() as session:
        connection = await session.connection(name)
        adapter = get_adapter(connection.connector)
        chosen = chosen_settings(
            adapter, settings, base_url, allow_private_hosts=allow_private_hosts, before=connection.settings
        )
        connections = session.connections()
        replaced = (
            read_secrets(adapter.credential_fields, from_stdin=secret_stdin) if secret or secret_stdin else {}
        )
        changed = await connections.change(
            connection,
            settings=chosen,
            streams=chosen_streams(adapter, streams) if streams is not None else None,
            columns=chosen_columns(columns) if columns is not None else None,
            since=chosen_since(adapter, since) if since is not None else None,
            history=chosen_history(adapter, history) if history is not None else None,
            sync_interval=timedelta(minutes=interval) if interval else None,
            secrets={**replaced, **await secrets_elsewhere(secret_from, connection.workspace_id)},
            test=not no_test and connection.approval == "approved",
        )
        _say_trial(adapter, changed.trial)
        if changed.connection.approval == "approved":
            await settle(session.db, session.adapters(), changed.connection)
    say(" ".join((f"Changed {connection.key}.", *changed.notices)))


@app.command()
@asynchronous
async def remove(name: Name, *, yes: Yes = False) -> None:
    """Remove a connection with its credentials, webhooks, routes, and every record that it brought."""
    async with open_session() as session:
        connection = await session.connection(name)
        confirm(f"Remove {connection.key} with all its records, webhooks and routes?", yes=yes)
        await removal.remove_connection(session.db, connection.workspace_id, connection.id, actor=ACTOR)
    say(f"Removed {connection.key}.")


@app.command()
@asynchronous
async def pause(name: Name) -> None:
    """Stop syncing a connection by schedule; `unified sync` still works."""
    say(f"Paused {await _activate(name, is_active=False)}.")


@app.command()
@asynchronous
async def resume(name: Name) -> None:
    """Sync a connection by schedule again."""
    say(f"Resumed {await _activate(name, is_active=True)}.")


async def _activate(name: str, *, is_active: bool) -> str:
    async with open_session() as session:
        connection = await session.connection(name)
        await session.registry.update_connection(
            connection.workspace_id, connection.id, is_active=is_active, actor=ACTOR
        )
        return connection.key


async def _workspace(session: Session, slug: str) -> Workspace:
    try:
        return await workspaces.find(session.db, slug)
    except WorkspaceNotFoundError:
        if slug != DEFAULT_WORKSPACE:
            msg = f"there is no workspace {slug!r}; make it with `unified workspaces add {slug}`"
            raise CommandError(msg) from None
        return await workspaces.create(session.db, slug)


def _say_trial(adapter: type[BaseAdapter[Any]], trial: Trial | None) -> None:
    if trial and (account := trial.account):
        if account.id == UNKNOWN_ACCOUNT and not adapter.takes_credential():
            out.print(f"{adapter.display_name} takes no credential, so it opens no account.")
            return
        if account.id == UNKNOWN_ACCOUNT:
            out.print("Nothing refuses the credential; the system does not say whose account it opens.")
            return
        mode = {True: "live account", False: "test account", None: "account"}[account.livemode]
        out.print(f"The credential opens {mode} {account.id}{f' ({account.name})' if account.name else ''}.")
