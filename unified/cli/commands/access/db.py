"""`unified db`: logins for BI tools and notebooks, each of which reads one workspace, and the URLs to log in by."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from typing import Annotated
from urllib.parse import unquote, urlsplit, urlunsplit

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.installation import is_embedded, ready_database
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, CommandError, UsageError, asynchronous, open_session
from unified.store.readers import granted, roles, temporary
from unified.store.server import cluster, embedded, programs
from unified.store.workspaces import workspaces

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Let tools read one workspace by SQL (docs/connect.md).",
)

# A session at psql may last a working day. It ends with the command in any case.
_PSQL_LASTS = "24 hours"

ReaderName = Annotated[str, typer.Argument(help="The reader's login.", metavar="NAME")]
OfWorkspace = Annotated[
    str | None, typer.Option(help="The workspace to read; by default the only one, or `default`.")
]


@app.command()
@asynchronous
async def url(
    *, reader: Annotated[str | None, typer.Option(help="Of this reader.", metavar="NAME")] = None
) -> None:
    """Print the URL of the database: a reader's, without its password, or the administrator's.

    `unified db grant-reader` says the password once. On this machine the embedded server's socket asks for none.
    """
    if reader is None:
        typer.echo(await asyncio.to_thread(ready_database))
        say("This login can change and see everything. `unified db url --reader NAME` is a reader's.")
        return
    async with open_session() as session:
        found = await granted.find(session.db, reader)
        typer.echo(roles.url_of(_place(session.db.url), found.name))


@app.command()
@asynchronous
async def psql(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What psql is to be given, after `--`.", metavar="[-- ...]")
    ] = None,
    *,
    workspace: OfWorkspace = None,
) -> None:
    """Open psql as a login that reads one workspace, made for this session and removed after it.

    For example: unified db psql --workspace acme -- -c "SELECT count(*) FROM customers"
    """
    program = _psql()
    async with open_session() as session:
        owner = await session.workspace(workspace)
        async with temporary.login(session.db, owner.id, lasts=_PSQL_LASTS) as login:
            # Ctrl-C is psql's: it ends a statement there.
            former = signal.signal(signal.SIGINT, lambda *_: None)
            try:
                code = await asyncio.to_thread(_run, program, login, arguments or [])
            finally:
                signal.signal(signal.SIGINT, former)
    raise typer.Exit(code)


@app.command("grant-reader")
@asynchronous
async def grant_reader(
    name: ReaderName,
    *,
    workspace: OfWorkspace = None,
    connections: Annotated[
        int, typer.Option(min=1, max=100, help="How many sessions it may have at once.")
    ] = granted.CONNECTIONS,
    own_schema: Annotated[
        bool, typer.Option("--own-schema", help="Give it a schema of its name to write to, as dbt needs.")
    ] = False,
) -> None:
    """Make a login that reads one workspace, and print its URL with the password, which is shown this once.

    A reader that reads the workspace already is given a new password.
    """
    async with open_session() as session:
        owner = await session.workspace(workspace)
        password = await granted.grant(
            session.db, owner.id, name, connections=connections, own_schema=own_schema, actor=ACTOR
        )
        place = _place(session.db.url)
    typer.echo(roles.url_of(place, name, password.reveal()))
    say(
        f"{name} reads {owner.slug}: the views of the schema data. "
        "The password is not kept; granting again makes a new one."
    )
    if is_embedded():
        say(
            "The embedded server runs as long as a command of `unified` does, `unified dev` for example"
            + (
                "."
                if urlsplit(place).hostname
                else ", and is reached by its socket alone; `unified db listen` changes that."
            )
        )


@app.command("revoke-reader")
@asynchronous
async def revoke_reader(name: ReaderName, *, yes: Yes = False) -> None:
    """End a reader's sessions and remove its login, with all that it has in a schema of its own."""
    async with open_session() as session:
        found = await granted.find(session.db, name)
        if found.own_schema:
            confirm(f"Remove {name} with the schema {name} and all that is in it?", yes=yes)
        is_gone = await granted.revoke(session.db, name, actor=ACTOR)
    say(
        f"{name} is removed."
        if is_gone
        else f"{name} reads nothing any more, but this login may not remove it; as an administrator: DROP OWNED BY "
        f"{name}; DROP ROLE {name}"
    )


@app.command()
@asynchronous
async def readers(*, as_json: AsJson = False) -> None:
    """List the readers of all workspaces."""
    async with open_session() as session:
        await granted.sweep(session.db)
        found = await granted.listed(session.db)
        slugs = {one.id: one.slug for one in await workspaces.listed(session.db)}
    rows = [
        {
            "reader": one.name,
            "workspace": slugs.get(one.workspace_id),
            "sessions": one.sessions,
            "connections": one.connections,
            "own_schema": one.own_schema,
            "granted_by": one.granted_by,
            "granted_at": one.granted_at,
        }
        for one in found
    ]
    if as_json:
        print_json(rows)
        return
    table(
        ("READER", "WORKSPACE", "SESSIONS", "AT MOST", "OWN SCHEMA", "GRANTED BY", "SINCE"),
        (tuple(row.values()) for row in rows),
        empty="There are no readers; `unified db grant-reader` makes one.",
    )


@app.command("dbt-sources")
def dbt_sources() -> None:
    """Print the views as sources of dbt, for a project of your own; dbt/models/sources.yml is this."""
    # The models, which no other of these commands needs.
    from unified.store.records.views.dbt_sources import document  # noqa: PLC0415

    typer.echo(document(), nl=False)


@app.command()
def listen(
    port: Annotated[
        int | None, typer.Argument(min=1, max=65_535, help="Port on 127.0.0.1.", metavar="PORT")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Close it again.")] = False,
) -> None:
    """Have the embedded server listen on 127.0.0.1, for tools that do not know its socket. Readers alone are let in.

    It holds from the server's next start on. Without a port, says where it listens.
    """
    if not is_embedded():
        raise CommandError("DATABASE_URL names a server of your own, which listens where it is told to")
    home = embedded.home()
    if off and port is not None:
        raise UsageError("say either a port or --off")
    if off:
        embedded.listen(home, None)
        say("From its next start on, the embedded server is reached by its socket alone.")
    elif port is None:
        found = embedded.listening_port(home)
        say(
            f"The embedded server listens on {cluster.ADDRESS}:{found}."
            if found
            else "It is reached by its socket alone."
        )
    else:
        _see_that_it_is_free(port, embedded.listening_port(home))
        embedded.listen(home, port)
        say(
            f"From its next start on, the embedded server listens on {cluster.ADDRESS}:{port}, and lets readers in, "
            "each with its password. If `unified dev` runs, stop and start it."
        )


def _see_that_it_is_free(port: int, ours: int | None) -> None:
    if port == ours:
        return
    try:
        socket.create_server((cluster.ADDRESS, port)).close()
    except OSError as error:
        raise CommandError(
            f"{cluster.ADDRESS}:{port} can't be listened on: {error.strerror}; take another port"
        ) from None


def _place(url: str) -> str:
    """Where a reader logs in: at the port of the embedded server, where it listens."""
    port = embedded.listens_at(embedded.home()) if is_embedded() else None
    return f"postgresql://{cluster.ADDRESS}:{port}/{embedded.DATABASE}" if port else url


def _psql() -> str:
    """The program: the one that comes with the embedded server, or else the system's."""
    program = programs.folder() / "psql"
    found = str(program) if program.exists() else shutil.which("psql")
    if found is None:
        raise CommandError("there is no psql here; install PostgreSQL's client programs")
    return found


def _run(program: str, url: str, arguments: list[str]) -> int:
    """Run psql as a reader, to its end; what it exits with."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    bare = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{place}"))
    settings = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in roles.SETTINGS.items())
    # Not among the arguments, which everybody on the machine sees.
    environment = {**os.environ, "PGPASSWORD": unquote(parts.password or ""), "PGOPTIONS": settings}
    process = subprocess.Popen([program, bare, *arguments], env=environment)  # noqa: S603 - psql
    return process.wait()
