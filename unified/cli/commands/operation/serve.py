"""`unified serve`: the HTTP server that providers deliver webhooks to, and that answers the management API."""

import asyncio
import logging
import os
import socket
from typing import Annotated

import typer
import uvloop

from unified import logs
from unified.api.access_log import LOGGER
from unified.api.server import listen, webhook_server
from unified.api.settings import PUBLIC_URL_VARIABLE, Settings
from unified.cli.output import say
from unified.cli.processes.workers import inherited, supervise, when_orphaned
from unified.cli.session import open_session
from unified.store.connectors import installed
from unified.store.secrets import data_keys
from unified.store.secrets.providers import load_provider


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8000,
    public_url: Annotated[
        str | None,
        typer.Option(help=f"Where providers reach this server.  [env var: {PUBLIC_URL_VARIABLE}]"),
    ] = None,
    access_log: Annotated[bool, typer.Option(help="Write a line for each request.")] = True,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the port. Limits count in each of them.")
    ] = 1,
    listener: Annotated[
        int | None, typer.Option(hidden=True, help="Of a worker: the socket that it was started with.")
    ] = None,
) -> None:
    """Take providers' webhooks in, at /webhooks/…, and answer the management API, at /api/… (docs/api.md).

    Ctrl-C ends it when what is under way is answered.

    Providers reach it through a reverse proxy that speaks HTTPS (docs/webhooks.md). UNIFIED_PUBLIC_URL says where:
    HubSpot signs that URL, and `unified webhooks add` prints it. UNIFIED_WEBHOOK_MAX_BYTES bounds a delivery (1 MiB),
    UNIFIED_WEBHOOK_RATE the deliveries a second of one endpoint (1,000). /healthz and /readyz are for probes.
    """
    logs.configure()
    logging.getLogger(LOGGER).disabled = not access_log
    if public_url:
        os.environ[PUBLIC_URL_VARIABLE] = public_url
    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        inherited(listener) if listener is not None else listen(host, port) as place,
    ):
        if workers == 1:
            runner.run(_serve(place, is_worker=listener is not None))
        else:
            runner.run(_check(place))
            supervise(place, workers, ["--access-log" if access_log else "--no-access-log"])


async def _serve(listener: socket.socket, *, is_worker: bool) -> None:
    async with open_session() as session, installed.followed(session.db):
        provider = load_provider()
        await data_keys.verify(session.db, provider)
        settings = _settings(listener)
        server = webhook_server(session.db, provider, settings)
        if is_worker:
            when_orphaned(lambda: setattr(server, "should_exit", True))
        else:
            _announce(listener, settings)
        await server.serve(sockets=[listener])


async def _check(listener: socket.socket) -> None:
    """What each worker will need: the database, the keys, and settings that can be used."""
    async with open_session() as session:
        await data_keys.verify(session.db, load_provider())
    _announce(listener, _settings(listener))


def _settings(listener: socket.socket) -> Settings:
    return Settings.from_environment(address=_address(listener))


def _announce(listener: socket.socket, settings: Settings) -> None:
    say(
        f"Listening on {_address(listener)}; endpoints are at {settings.public_url}/webhooks/… "
        f"({PUBLIC_URL_VARIABLE})."
    )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
