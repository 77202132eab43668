"""A running sandbox without rate limits that stands still in time, and a server that takes its deliveries."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_000_000


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    stripe = StripeSandbox(customers=230, invoices=320, now=NOW, limits=None)
    hubspot = HubSpotSandbox(contacts=230, companies=40, invoices=120, now=NOW, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as running:
        yield running


@pytest.fixture
def stripe(server: SandboxServer) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer sk_test_fake_acme"}
    with httpx.Client(base_url=f"{server.url}/stripe", headers=headers, timeout=LIMIT_SECONDS) as client:
        yield client


@pytest.fixture
def hubspot(server: SandboxServer) -> Iterator[httpx.Client]:
    headers = {"authorization": "Bearer pat-fake-acme"}
    with httpx.Client(base_url=f"{server.url}/hubspot", headers=headers, timeout=LIMIT_SECONDS) as client:
        yield client


@dataclass
class Receiver:
    """An HTTP server that keeps what it was sent and answers by a plan, then with 200."""

    url: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def events(self, verifier: str, secret: str) -> list[list[ReceivedEvent]]:
        """The events of each delivery, all verified."""
        read = [get_verifier(verifier).receive(one, [Secret(secret)]) for one in self.deliveries]
        assert all(isinstance(events, list) for events in read)
        return read  # type: ignore[return-value]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    received = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value.encode() for name, value in self.headers.items()}
            url = f"{received.url.partition('/hooks')[0]}{self.path}"
            received.deliveries.append(Delivery("POST", url, headers, body, datetime.now(UTC)))
            self.send_response(received.answers.pop(0) if received.answers else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # 5 by default, and the sixth delivery at once is refused

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        received.url = f"http://127.0.0.1:{server.server_port}/hooks/a%3Ab?tenant=7"
        yield received
        server.shutdown()
        thread.join()
