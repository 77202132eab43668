"""Running the application: its socket, and an orderly end.

SIGTERM and SIGINT stop the taking of requests; what is under way is committed and answered, then the process ends.
The database is opened first: a server that can't store anything should not look as if it could.
"""

import socket
from functools import partial

import uvicorn

from unified.api.app import Application
from unified.api.ingress.endpoint import WebhookIngress
from unified.api.ingress.group_commit import GroupCommit
from unified.api.management.app import management_api, open_services
from unified.api.mcp.endpoint import mcp
from unified.api.metrics import Metrics
from unified.api.pages.app import pages
from unified.api.protocol import BoundedProtocol
from unified.api.settings import Settings
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.inbox import strays as stray_events
from unified.store.inbox.events import append
from unified.store.inbox.lookup import EndpointLookup
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider
from unified.sync.progress.following import Following

# Longer than any commit may take, shorter than what Docker grants by default (10 s).
_GRACE_SECONDS = 8

# Longer than nginx keeps an idle connection (60 s), so that it is nginx who closes it, and not we under a request.
_KEEP_ALIVE_SECONDS = 75

_BACKLOG = 1_024


class _Server(uvicorn.Server):
    """uvicorn's, which would wait for pages that follow a sync until its patience ends."""

    def __init__(self, config: uvicorn.Config, following: Following) -> None:
        super().__init__(config)
        self._following = following

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._following.end()
        await super().shutdown(sockets)


class AddressTakenError(StoreError):
    """The server can't listen where it should."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; a client that connects waits in its queue until the server runs.

    Args:
        host: An address of this machine.
        port: 0 takes a free one.

    Raises:
        AddressTakenError: If another process listens there, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressTakenError(
            f"can't listen on {host}, port {port}: {error.strerror}; choose another"
        ) from None
    # Inherited by what is accepted. asyncio leaves it out for a listener that is given to it, uvloop does not; without
    # it, an answer's body waits 40 ms for the client's word that the head has come.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def webhook_server(db: Database, provider: KeyProvider, settings: Settings) -> uvicorn.Server:
    """The server; ``await server.serve(sockets=[listener])`` runs it until a signal ends it.

    Args:
        db: The open database.
        provider: Master keys, to decrypt endpoints' secrets with.
        settings: Limits, and the public URL.
    """
    endpoints = EndpointLookup(db, CredentialStore(db, provider))
    services, metrics = open_services(db, provider, settings), Metrics(db)
    inbox = GroupCommit(metrics.counted(partial(append, db)), waiting=settings.waiting)
    strays = GroupCommit(
        metrics.strayed(partial(stray_events.append, db)), waiting=settings.waiting, writers=1
    )
    protocol = type("Protocol", (BoundedProtocol,), {"most_connections": settings.connections})
    management = management_api(services, metrics)
    ingress = WebhookIngress(endpoints, inbox, strays, settings, metrics.delivery)
    config = uvicorn.Config(
        Application(
            ingress,
            management,
            pages(services, metrics, ingress),
            mcp(services, metrics, management),
        ),
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        # uvicorn's would show endpoints' paths.
        access_log=False,
        # Who asks, and by which host, makes no difference here.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config, services.following)
