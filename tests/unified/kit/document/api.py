"""A system on loopback that answers by path and query, and pulls of a document from it."""

from __future__ import annotations

import json
import threading
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import UUID

from unified.kit.declarations import ConnectionRef
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.conformance.bench import Copy
    from unified.kit.document.engine import DocumentAdapter
    from unified.kit.streams import Page

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
KEY = "desk_fake_key"
MAPPING = {"id": {"paths": ["id"]}, "rules": [{"target": "name", "source": "title"}]}


class Api:
    """Answers of one system, and what it was asked.

    Attributes:
        url: Where it listens.
        answers: By path and query: JSON, or status, headers and body; a list is answered one after the other, the last
            one for ever.
        asked: Paths and queries, in order.
        authorized: The header `authorization` of each.
        bodies: What was posted.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.authorized: list[str | None] = []
        self.bodies: list[bytes] = []

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(target)
        found = self.answers.get(target, (404, {}, b'{"message": "no such thing"}'))
        if isinstance(found, Turns):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, tuple):
            return found
        return 200, {"content-type": "application/json"}, json.dumps(found).encode()


class Turns(list[Any]):
    """Answers, one after the other."""


@contextmanager
def serving() -> Iterator[Api]:
    """A system that answers until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            api.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.do_GET()

        do_PUT = do_PATCH = do_POST  # noqa: N815 - as the library finds them

        def do_DELETE(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            api.authorized.append(self.headers["authorization"])
            status, headers, body = api.answer(self.path)
            self.send_response_only(status)  # its time is the answer's to say
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = Api(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def opened(api: Api, document: dict[str, Any], **settings: Any) -> DocumentAdapter:
    """The adapter of a document, for that system."""
    adapter = adapter_class(read(json.dumps(document).encode(), "desk.json"))
    quick = {
        "base_url": api.url,
        "allow_private_hosts": True,
        "requests_per_second": 1e6,
        "retry_delay": 0,
        "retry_count": 1,
    }
    return adapter(
        adapter.config_model.model_validate({**quick, **settings}),
        {field.name: Secret(KEY) for field in adapter.credential_fields},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/desk"),
        clock=lambda: NOW,
    )


async def pulled(adapter: DocumentAdapter, copy: Copy, *, pages: int | None = None) -> list[Page]:
    """Pull what is new into a copy; ``pages`` stops after so many, as a run does that is killed."""
    seen: list[Page] = []
    copy.met.clear()
    async with adapter, aclosing(adapter.pull(copy.stream, copy.cursor)) as source:
        async for page in source:
            copy.add(page)
            seen.append(page)
            if len(seen) == pages:
                break
    return seen
