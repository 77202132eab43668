"""`unified serve`: the HTTP server that providers deliver webhooks to, and that answers the management API."""

import asyncio
import logging
import os
from typing import Annotated

import typer
import uvloop

from api.access_log import LOGGER
from api.server import listen, webhook_server
from api.settings import PUBLIC_URL_VARIABLE, Settings
from cli.output import say
from cli.session import open_session
from store import data_keys
from store.keys import load_provider


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")] = 8000,
    public_url: Annotated[
        str | None,
        typer.Option(help=f"Where providers reach this server.  [env var: {PUBLIC_URL_VARIABLE}]"),
    ] = None,
    access_log: Annotated[bool, typer.Option(help="Write a line for each request.")] = True,
) -> None:
    """Take providers' webhooks in, at /webhooks/…, and answer the management API, at /api/… (docs/api.md).

    Ctrl-C ends it when what is under way is answered.

    Providers reach it through a reverse proxy that speaks HTTPS (docs/webhooks.md). UNIFIED_PUBLIC_URL says where:
    HubSpot signs that URL, and `unified webhooks add` prints it. UNIFIED_WEBHOOK_MAX_BYTES bounds a delivery (1 MiB),
    UNIFIED_WEBHOOK_RATE the deliveries a second of one endpoint (1,000). /healthz and /readyz are for probes.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger(LOGGER).disabled = not access_log
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(host, port, public_url))


async def _serve(host: str, port: int, public_url: str | None) -> None:
    async with open_session() as session:
        provider = load_provider()
        await data_keys.verify(session.db, provider)
        with listen(host, port) as listener:
            address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
            chosen = {PUBLIC_URL_VARIABLE: public_url} if public_url else {}
            settings = Settings.from_environment({**os.environ, **chosen}, address=address)
            say(
                f"Listening on {address}; endpoints are at {settings.public_url}/webhooks/… ({PUBLIC_URL_VARIABLE})."
            )
            await webhook_server(session.db, provider, settings).serve(sockets=[listener])
