"""A web server for stand-ins, in a thread of the test, demo or benchmark that uses it.

`{url}/{provider}` is a base URL for an adapter, such as `{url}/stripe`; `{url}/_sandbox/{provider}/…` is the
control API.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from unified.sandbox.control import control_app
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.stripe import StripeSandbox

if TYPE_CHECKING:
    from types import TracebackType

    from unified.sandbox.provider import Provider


def sandbox_app(*providers: Provider[Any]) -> Starlette:
    """Stand-ins and their control API as one ASGI application."""
    mounts = [Mount(f"/{provider.name}", provider.app()) for provider in providers]
    control = control_app({provider.name: provider for provider in providers})
    return Starlette(routes=[Mount("/_sandbox", control), *mounts])


class Server:
    """Running stand-ins; use it as a context manager.

    Args:
        providers: what to serve, each below its name.
        port: 0 takes a free one.

    Attributes:
        url: without a slash at the end, such as `http://127.0.0.1:51234`.
    """

    def __init__(self, *providers: Provider[Any], port: int = 0) -> None:
        self.url = ""
        self._providers = providers
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start; requests are accepted from now on."""
        # Listening before the thread starts, so that there is nothing to wait for: early requests queue up.
        listener = socket.create_server(("127.0.0.1", self._port), backlog=512)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            sandbox_app(*self._providers),
            log_config=None,
            access_log=False,
            # The stand-ins date their responses by their own clock.
            date_header=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait until the port is free."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(timeout=10)
        for provider in self._providers:
            provider.webhooks.close()


class SandboxServer(Server):
    """Stripe and HubSpot, which the demo and most tests use together.

    Args:
        stripe: None makes a default one.
        hubspot: None makes a default one.
        port: 0 takes a free one.
    """

    def __init__(
        self, stripe: StripeSandbox | None = None, hubspot: HubSpotSandbox | None = None, *, port: int = 0
    ) -> None:
        self.stripe = stripe or StripeSandbox()
        self.hubspot = hubspot or HubSpotSandbox()
        super().__init__(self.stripe, self.hubspot, port=port)
