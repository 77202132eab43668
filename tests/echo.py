"""A provider that shows again what it was sent, credentials included, in its answer's body and headers."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote


class Echo(BaseHTTPRequestHandler):
    """Answers with the status that is set, and repeats whatever it was sent, in several forms."""

    status = 401

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode(errors="replace")
        told = self.headers.get("authorization", "")
        plain = told.removeprefix("Bearer ").encode()
        coded = (base64.b64encode(b"." * shift + plain).decode() for shift in range(3))
        sent = " ".join((told, quote(plain, safe=""), plain.hex(), plain.hex().upper(), *coded, body))
        answer = json.dumps(
            {"error": {"message": sent, "type": sent, "code": sent}, "message": sent}
        ).encode()
        self.send_response(self.status)
        for name in ("www-authenticate", "x-echo", "request-id", "location"):
            self.send_header(name, sent.replace("\n", " "))
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None: ...


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
