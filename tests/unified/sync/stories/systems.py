"""Stripe and HubSpot behind one address, for stories that are told from outside.

Both are written from the providers' reference alone, apart from ``unified/sandbox``: what that takes for granted is not
taken for granted here. Faults are functions of a request (``Systems.meddle``); records are what the APIs show.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.unified.sync.stories.exchange import CUT, Answer, Request
from tests.unified.sync.stories.hubspot import HubSpot
from tests.unified.sync.stories.stripe import Stripe

Meddle = Callable[[Request, Callable[[], Answer]], Answer]


@dataclass
class Systems:
    """Both, behind one address; ``asked`` are the paths of all requests, in order."""

    stripe: Stripe = field(default_factory=Stripe)
    hubspot: HubSpot = field(default_factory=HubSpot)
    meddle: Meddle | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Request) -> Answer:
        system = self.stripe if asked.system == "stripe" else self.hubspot
        with self._one_at_a_time:
            self.asked.append(f"{asked.method} /{'/'.join(asked.path)}")
            if self.meddle is not None:
                return self.meddle(asked, lambda: system.answer(asked))
            return system.answer(asked)


@contextmanager
def served() -> Iterator[Systems]:
    """Both on loopback, below ``/stripe`` and ``/hubspot``."""
    systems = Systems()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Request(self.command, url.path.strip("/").split("/"), parse_qsl(url.query), headers, body)
            answer = systems.answer(asked)
            if answer is CUT:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads, block_on_close = True, False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away in the middle of an answer is no news."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        systems.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield systems
        server.shutdown()
        thread.join()
