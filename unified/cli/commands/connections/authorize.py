"""`unified connections authorize` and `revoke`: OAuth from the command line.

The provider sends the browser to this machine's own address (RFC 8252 section 7.3), where a listener of this module
waits. On a machine without a browser, or with a redirect URL elsewhere, the address that the browser ended on is
pasted instead: it says the same.
"""

import asyncio
import os
import sys
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from unified.cli.arguments import Name
from unified.cli.output import out, say
from unified.cli.secrets import read_secrets
from unified.cli.session import ACTOR, CommandError, UsageError, asynchronous, open_session
from unified.kit.declarations import CredentialField, GrantType
from unified.kit.oauth import declared, returned
from unified.kit.oauth_app import CLIENT_ID, CLIENT_SECRET
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.rows import Connection
from unified.sync.access.consent import Authorized, Authorizer

REDIRECT_URL = "http://127.0.0.1:8976/oauth/callback"
"""To be named in the OAuth app. The port is fixed because not every provider takes any."""

_OWN_APP = (
    CredentialField(CLIENT_ID, "client id", "of this connection's own OAuth app; the app's settings show it"),
    CredentialField(CLIENT_SECRET, "client secret", "of the same app"),
)
_LONGEST_REQUEST = 16_384
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Unified Assets</title>
<p>Done. Back to the command line; this page can be closed.</p></html>
"""

NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the URL.")]
RedirectUrl = Annotated[
    str, typer.Option(help="Where the provider sends the browser afterwards; the OAuth app has to name it.")
]
OwnApp = Annotated[
    bool,
    typer.Option(
        "--own-app",
        help="Use an OAuth app of this connection's own: asks for it, or takes UNIFIED_SECRET_CLIENT_ID and "
        "UNIFIED_SECRET_CLIENT_SECRET. It is stored encrypted.",
    ),
]
ClientCredentials = Annotated[
    bool, typer.Option("--client-credentials", help="By the app's own right, without a person's consent.")
]


@asynchronous
async def authorize(
    name: Name,
    *,
    no_browser: NoBrowser = False,
    redirect_url: RedirectUrl = REDIRECT_URL,
    own_app: OwnApp = False,
    client_credentials: ClientCredentials = False,
) -> None:
    """Authorize a connection by OAuth, also again after its grant was revoked.

    Prints a URL and opens the browser. Where that is on another machine, paste the address that it ends on here.
    """
    async with open_session() as session:
        connection = await session.connection(name)
        asked: GrantType | None = "client_credentials" if client_credentials else None
        grant = declared(get_adapter(connection.connector)).choose(asked, connection.connector)
        own = read_secrets(_OWN_APP, from_stdin=False) if own_app else {}
        authorizer = Authorizer(session.db, session.credentials())
        done = (
            await authorizer.by_credentials(connection, subject=ACTOR, own=own)
            if grant == "client_credentials"
            else await _by_consent(authorizer, connection, own, redirect_url, opens_browser=not no_browser)
        )
    account = done.account
    opened = f": account {account.id}{f' ({account.name})' if account.name else ''}" if account else ""
    say(f"Authorized {connection.key}{opened}. `unified sync {connection.key}` pulls it now.")


@asynchronous
async def revoke(name: Name) -> None:
    """Give a connection's OAuth grant back to the provider and forget its tokens; its records stay."""
    async with open_session() as session:
        connection = await session.connection(name)
        await Authorizer(session.db, session.credentials()).revoke(connection, subject=ACTOR)
    say(f"Revoked the authorization of {connection.key}; `unified connections authorize` makes a new one.")


async def _by_consent(
    authorizer: Authorizer,
    connection: Connection,
    own: dict[str, Secret],
    redirect_url: str,
    *,
    opens_browser: bool,
) -> Authorized:
    answered: asyncio.Queue[str] = asyncio.Queue()
    async with _listening(redirect_url, answered) as redirect_uri:
        begun = await authorizer.begin(connection, redirect_uri, subject=ACTOR, own=own)
        out.print("Open this address and consent:", highlight=False)
        typer.echo(begun.url)
        if opens_browser:
            await asyncio.to_thread(webbrowser.open, begun.url)
        typer.echo("Then come back, or paste the address that the browser ends on:", err=True)
        wait = (begun.expires_at - datetime.now(UTC)).total_seconds()
        async with _pasting(answered):
            try:
                async with asyncio.timeout(wait):
                    while (answer := returned(await answered.get())).get("state") != begun.state.reveal():
                        typer.echo(
                            "That is not the address; it has a state=… that belongs to this consent.",
                            err=True,
                        )
            except TimeoutError:
                msg = f"{connection.key}: nobody consented in time; run the command again"
                raise CommandError(msg) from None
        return await authorizer.complete(answer, subject=ACTOR)


@asynccontextmanager
async def _listening(redirect_url: str, answered: "asyncio.Queue[str]") -> AsyncIterator[str]:
    """Listen where the browser will be sent, if that is this machine; the redirect URL, with the port that it has."""
    parts = urlsplit(redirect_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = f"--redirect-url takes a URL, such as {REDIRECT_URL}"
        raise UsageError(msg)
    if parts.scheme == "https" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        yield redirect_url
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, IndexError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = head.split(" ", 2)[1]
            # A browser asks for more than it is sent to: its icon, for instance.
            is_it = urlsplit(target).path == parts.path
            status, page = ("200 OK", _PAGE) if is_it else ("404 Not Found", "")
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}\r\n"
                f"referrer-policy: no-referrer\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{page}".encode()
            )
            await writer.drain()
            if is_it:
                answered.put_nowait(target)
        writer.close()

    try:
        server = await asyncio.start_server(answer, parts.hostname, parts.port or 80, limit=_LONGEST_REQUEST)
    except OSError as error:
        msg = f"can't listen at {redirect_url} ({error.strerror}); free that port, or say --redirect-url"
        raise CommandError(msg) from None
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield parts._replace(netloc=f"{parts.netloc.rpartition(':')[0] or parts.netloc}:{port}").geturl()


@asynccontextmanager
async def _pasting(answered: "asyncio.Queue[str]") -> AsyncIterator[None]:
    """Take lines from standard input, as long as there are any."""
    loop, fd = asyncio.get_running_loop(), sys.stdin.fileno()
    pending = b""

    def read() -> None:
        nonlocal pending
        data = os.read(fd, 65_536)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines if data else [*lines, pending]:
            if line.strip():
                answered.put_nowait(line.decode(errors="replace"))
        if not data:
            loop.remove_reader(fd)

    try:
        loop.add_reader(fd, read)
    except PermissionError:  # a file, or nothing: what can't be waited for can be read at once
        for line in sys.stdin:
            answered.put_nowait(line)
    try:
        yield
    finally:
        loop.remove_reader(fd)
