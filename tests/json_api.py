"""An API of JSON on loopback, which answers as a test has it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class JsonApi(BaseHTTPRequestHandler):
    """What answers one request; a test's own class says how."""

    def get(self) -> None:
        """Answer a GET."""
        self.answer(405, {})

    def post(self) -> None:
        """Answer a POST."""
        self.answer(405, {})

    def do_GET(self) -> None:
        """As the library calls it."""
        self.get()

    def do_POST(self) -> None:
        """As the library calls it."""
        self.post()

    def answer(self, status: int, body: Any, **headers: str) -> None:
        """Send a body as JSON, nothing where it is None; headers are named as HTTP names them."""
        text = b"" if body is None else json.dumps(body).encode()
        usual = {"content-type": "application/json", "content-length": str(len(text))}
        self.send_response(status)
        for name, value in (usual | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def serving(handler: type[JsonApi]) -> Iterator[str]:
    """Where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
