"""`unified webhooks`: endpoints that providers deliver to."""

import os
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson, Name, Yes, confirm, interruptible
from unified.cli.commands.webhooks import received
from unified.cli.commands.webhooks.probing import probe
from unified.cli.output import out, print_json, say, table
from unified.cli.public_url import PublicUrl, public_url_of, say_whether_reachable
from unified.cli.secrets import read_secrets, variable_of
from unified.cli.session import ACTOR, CommandError, Session, UsageError, asynchronous, open_session
from unified.cli.settings import assignments_of
from unified.kit.declarations import CredentialField
from unified.kit.errors import counted
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.store.connections.rows import Connection
from unified.store.inbox import strays
from unified.store.inbox.endpoints import FORMER_SECRET_KEPT, Endpoint, Endpoints, made_secret
from unified.store.workspaces import workspaces

_SECRET = CredentialField("webhook", "Signing secret", "as the provider shows it for this URL")
_ID_SHOWN = 8

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, register, list, test, rotate, pause and remove webhook endpoints, and replay what they received. NAME "
    "is a connection's. docs/webhooks.md says what to enter at each provider.",
)

Id = Annotated[
    str | None,
    typer.Option("--id", help="The endpoint, where the connection has several; `list` shows their ids."),
]
SecretStdin = Annotated[bool, typer.Option("--secret-stdin", help="Read the secret from standard input.")]


@app.command()
@asynchronous
async def add(
    name: Name,
    *,
    verifier: Annotated[
        str | None, typer.Option(help="How deliveries are signed, if not as the system itself does.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the verifier; docs/webhooks.md lists them. Repeatable.",
        ),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--event", help="Keep this type of event; * at the end takes a family. Repeatable."),
    ] = None,
    public_url: PublicUrl = None,
    secret_stdin: SecretStdin = False,
) -> None:
    """Add an endpoint to a connection, and print the URL to enter at the provider.

    The provider's signing secret comes by a hidden prompt, by --secret-stdin or from UNIFIED_SECRET_WEBHOOK; or
    later, with `unified webhooks rotate`: until then deliveries are refused. For github, jira, hmac, token and basic
    we choose the secret, and print it this once. The URL is a secret too; with --verifier none it is the only one.
    """
    base = public_url_of(public_url)
    given = _given_secret(from_stdin=secret_stdin)
    async with open_session() as session:
        connection = await session.connection(name)
        endpoints = _endpoints(session)
        endpoint, made = await endpoints.add(
            connection, given, verifier=verifier, options=assignments_of(options), event_types=events or ()
        )
        proof = get_verifier(endpoint.verifier, endpoint.options)
        out.print(_url(base, connection, endpoint), soft_wrap=True)
        say_whether_reachable(base)
        if made:
            say("Enter this secret there as well; it is not shown again:")
            out.print(made.reveal(), soft_wrap=True)
        elif not proof.needs_secret:
            say("Nothing proves who sends: anybody who knows this URL can.")
        elif not given and (asked := _asked_secret()):
            await endpoints.rotate(endpoint, asked)
        elif not given:
            say(f"Now `unified webhooks rotate {connection.key}` takes the secret that the provider shows.")
        if proof.is_known_by_bytes:
            say(
                "Its events are known by their bytes: one that the sender repeats in other bytes, as with a new time, "
                "is another event. Where they have an id that stays, add it with --set id_field=PATH instead."
            )


@app.command("list")
@asynchronous
async def list_(
    name: Annotated[
        str | None, typer.Argument(help="List only this connection's webhooks.", metavar="[NAME]")
    ] = None,
    *,
    urls: Annotated[bool, typer.Option("--urls", help="Show the URLs, which are secrets.")] = False,
    public_url: PublicUrl = None,
    as_json: AsJson = False,
) -> None:
    """List endpoints.

    NOBODY'S counts events that came in at a connection's endpoints and are of accounts that no connection of the
    workspace reads; they are not kept. --json names the accounts.
    """
    base = public_url_of(public_url)
    async with open_session() as session:
        connections = [await session.connection(name)] if name else await _all_connections(session)
        endpoints = _endpoints(session)
        lost = {one.id: await _strays(session, one) for one in connections}
        found = [
            _describe(connection, endpoint)
            | {"strays": lost[connection.id]}
            | ({"url": _url(base, connection, endpoint)} if urls else {})
            for connection in connections
            for endpoint in await endpoints.list(connection)
        ]
    if as_json:
        print_json(found)
        return
    table(
        (
            "ID",
            "CONNECTION",
            "SIGNED AS",
            "EVENTS",
            "TAKES",
            "NOBODY'S",
            "ADDED (UTC)",
            *(("URL",) if urls else ()),
        ),
        (
            (
                each["id"][:_ID_SHOWN],
                each["connection"],
                each["verifier"],
                ", ".join(each["events"]) or "all",
                "deliveries" if each["is_active"] else "paused",
                sum(one["events"] for one in each["strays"]) or "",
                each["created_at"],
                *((each["url"],) if urls else ()),
            )
            for each in found
        ),
        empty="There are no webhooks yet; `unified webhooks add` makes one.",
    )


@app.command()
@asynchronous
async def rotate(
    name: Name,
    *,
    endpoint_id: Id = None,
    secret_stdin: SecretStdin = False,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Refuse the former secret at once instead of in a day.")
    ] = False,
) -> None:
    """Give an endpoint its secret, or the next one.

    The former one stays good for a day, so that nothing is lost while the provider changes over.
    """
    async with open_session() as session:
        connection, endpoint = await _find(session, name, endpoint_id)
        made = made_secret(endpoint.verifier)
        secret = (
            _given_secret(from_stdin=secret_stdin)
            or made
            or read_secrets([_SECRET], from_stdin=False)[_SECRET.name]
        )
        kept = timedelta() if leaked else FORMER_SECRET_KEPT
        await _endpoints(session).rotate(endpoint, secret, keep_former=kept)
    if secret is made:
        say("Enter this secret at the provider; it is not shown again:")
        out.print(secret.reveal(), soft_wrap=True)
    say(f"The webhook of {connection.key} has its new secret. Every `unified serve` knows it within seconds.")


@app.command()
@asynchronous
async def pause(name: Name, *, endpoint_id: Id = None) -> None:
    """Refuse an endpoint's deliveries; the provider comes again for a while."""
    say(f"Paused the webhook of {await _activate(name, endpoint_id, is_active=False)}.")


@app.command()
@asynchronous
async def resume(name: Name, *, endpoint_id: Id = None) -> None:
    """Take an endpoint's deliveries again."""
    say(f"Resumed the webhook of {await _activate(name, endpoint_id, is_active=True)}.")


@app.command()
@asynchronous
async def remove(name: Name, *, endpoint_id: Id = None, yes: Yes = False) -> None:
    """Remove an endpoint and its secrets; what it received stays."""
    async with open_session() as session:
        connection, endpoint = await _find(session, name, endpoint_id)
        confirm(f"Remove the webhook of {connection.key}? Its URL can't be had back.", yes=yes)
        await _endpoints(session).remove(endpoint)
    say(f"Removed the webhook of {connection.key}.")


@app.command("test")
@asynchronous
async def send_test(name: Name, *, endpoint_id: Id = None, public_url: PublicUrl = None) -> None:
    """Send a test delivery to an endpoint, signed as its provider signs, and follow it to the row that it becomes.

    The server has to run. The event is of the type unified.test and about no record; where the connection keeps events
    it stays among them. Where it stops on its way is said, and the exit code is not 0.
    """
    base = public_url_of(public_url)
    async with open_session() as session:
        connection, endpoint = await _find(session, name, endpoint_id)
        endpoints = _endpoints(session)
        await probe(session, endpoints, connection, endpoint, _url(base, connection, endpoint))


@app.command()
@asynchronous
async def register(
    name: Name,
    *,
    endpoint_id: Id = None,
    only: Annotated[
        str, typer.Option(help="What is delivered, as the system says it: for Jira a part of JQL.")
    ] = "",
    public_url: PublicUrl = None,
) -> None:
    """Have the system deliver to an endpoint, where its API takes that: Jira, by an OAuth app.

    A webhook that is there already is left as it is. Elsewhere, enter the URL at the provider by hand.
    """
    base = public_url_of(public_url)
    async with open_session() as session:
        connection, endpoint = await _find(session, name, endpoint_id)
        adapter = await session.adapters().create(
            connection.workspace_id, connection.id, purpose="webhook.register"
        )
        async with adapter:
            made = await adapter.register_webhook(
                _url(base, connection, endpoint), only, verifier=endpoint.verifier
            )
    say(f"{connection.key} delivers to it, by the webhook {made}.")


app.command("replay")(received.replay)
app.command("dead-letters")(received.dead_letters)


def _endpoints(session: Session) -> Endpoints:
    return Endpoints(session.db, session.credentials(), actor=ACTOR)


async def _all_connections(session: Session) -> list[Connection]:
    owners = await workspaces.listed(session.db)
    return [each for owner in owners for each in await session.registry.connections(owner.id)]


async def _find(session: Session, name: str, endpoint_id: str | None) -> tuple[Connection, Endpoint]:
    """A connection's one endpoint, or the one whose id begins so."""
    connection = await session.connection(name)
    found = await _endpoints(session).list(connection)
    chosen = [each for each in found if str(each.id).startswith(endpoint_id or "")]
    if len(chosen) == 1:
        return connection, chosen[0]
    if not found:
        raise CommandError(
            f"{connection.key} has no webhook; `unified webhooks add {connection.key}` makes one"
        )
    ids = " or ".join(str(each.id)[:_ID_SHOWN] for each in found)
    if endpoint_id and not chosen:
        raise UsageError(
            f"{connection.key} has no webhook with an id that begins with {endpoint_id}; say {ids}"
        )
    raise UsageError(f"{connection.key} has {counted(len(found), 'webhook')}: say which with --id, {ids}")


async def _activate(name: str, endpoint_id: str | None, *, is_active: bool) -> str:
    async with open_session() as session:
        connection, endpoint = await _find(session, name, endpoint_id)
        await _endpoints(session).set_active(endpoint, is_active=is_active)
        return connection.key


def _describe(connection: Connection, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "connection": connection.key,
        "verifier": endpoint.verifier,
        "events": list(endpoint.event_types),
        "is_active": endpoint.is_active,
        "created_at": endpoint.created_at,
    }


def _url(base: str, connection: Connection, endpoint: Endpoint) -> str:
    return f"{base}/webhooks/{connection.connector}/{endpoint.path}"


def _given_secret(*, from_stdin: bool) -> Secret | None:
    """The secret that came with the command, if one did."""
    if from_stdin or os.environ.get(variable_of(_SECRET)):
        return read_secrets([_SECRET], from_stdin=from_stdin)[_SECRET.name]
    return None


def _asked_secret() -> Secret | None:
    """What a person pastes, once the provider has shown it; None for later."""
    if not sys.stdin.isatty():
        return None
    say("Enter that URL at the provider, then paste the signing secret that it shows; nothing for later.")
    with interruptible():
        text = typer.prompt("Signing secret", default="", show_default=False, hide_input=True, err=True)
    return Secret(text.strip()) if text.strip() else None


async def _strays(session: Session, connection: Connection) -> list[dict[str, Any]]:
    async with session.db.workspace(connection.workspace_id) as conn:
        return [asdict(one) for one in await strays.listed(conn, connection.id)]
