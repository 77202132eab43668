"""A client before a server in trouble: it comes again when it is asked to, gives up in time, and shows no token."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from unified.client import (
    AsyncClient,
    BusyError,
    Client,
    ClientError,
    NotPermittedError,
    StartAgainError,
    UnreachableError,
    core,
)

TOKEN = "uat_fake_of_the_tests"
PAGE = {"items": [], "next": None, "since": "here"}

Scripted = tuple[int, dict[str, str], Any]
DROP: Scripted = (0, {}, None)


def refusal(status: int, **headers: str) -> Scripted:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"detail": f"No: {status}.", "status": status, "request_id": "r1"}


@dataclass
class Server:
    """Answers as it is told to, one after the other."""

    url: str
    script: list[Scripted] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.seen.append((self.path, self.headers["authorization"]))
            told.at.append(time.monotonic())
            status, headers, body = told.script.pop(0)
            if not status:
                self.close_connection = True
                return
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(sent)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        told = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield told
        http.shutdown()
        thread.join()


def read(url: str, kind: str) -> list[Any]:
    """All customers, by a client of that kind."""

    async def read_async() -> list[Any]:
        async with AsyncClient(url, TOKEN) as client:
            return [one async for one in client.customers.all()]

    if kind == "async":
        return asyncio.run(read_async())
    with Client(url, TOKEN) as client:
        return list(client.customers.all())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
@pytest.mark.parametrize(
    "trouble",
    [refusal(429, retry_after="0"), refusal(503, retry_after="0"), DROP],
    ids=["429", "503", "drop"],
)
def test_what_passes_is_tried_again(
    server: Server, kind: str, trouble: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_FIRST_WAIT", 0.01)
    server.script = [trouble, trouble, (200, {}, PAGE)]
    assert read(server.url, kind) == []
    assert [path for path, _ in server.seen] == ["/api/customers?limit=1000"] * 3


@both
def test_it_waits_for_as_long_as_it_is_asked_to(server: Server, kind: str) -> None:
    server.script = [refusal(429, retry_after="1"), (200, {}, PAGE)]
    read(server.url, kind)
    assert server.at[1] - server.at[0] >= 1


@both
def test_it_gives_up_where_that_is_too_long(server: Server, kind: str) -> None:
    server.script = [refusal(503, retry_after="3600")]
    with pytest.raises(BusyError, match="No: 503"):
        read(server.url, kind)
    assert len(server.seen) == 1


@both
@pytest.mark.parametrize(
    ("status", "error"),
    [(401, NotPermittedError), (403, NotPermittedError), (410, StartAgainError), (500, ClientError)],
)
def test_a_refusal_is_an_error_of_its_kind(
    server: Server, kind: str, status: int, error: type[ClientError]
) -> None:
    server.script = [refusal(status)]
    with pytest.raises(error, match=f"No: {status}") as refused:
        read(server.url, kind)
    assert (refused.value.status, refused.value.request_id) == (status, "r1")
    assert TOKEN not in repr(refused.value)


@both
@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"items": "x"}'),
        (502, {}, b"bad gateway"),
        (404, {}, b'{"errors": 1}'),
        (422, {}, {"detail": "No.", "errors": [{"pointer": "/query"}]}),
    ],
)
def test_what_is_no_answer_of_ours_is_said(server: Server, kind: str, answer: Scripted) -> None:
    server.script = [answer]
    with pytest.raises(ClientError):
        read(server.url, kind)


@both
def test_a_redirect_is_not_followed_with_the_token(server: Server, kind: str) -> None:
    server.script = [(302, {"location": f"{server.url}/elsewhere"}, {})]
    with pytest.raises(ClientError):
        read(server.url, kind)
    assert server.seen == [("/api/customers?limit=1000", f"Bearer {TOKEN}")]


@both
def test_nobody_there(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(UnreachableError, match="can't be reached") as away:
        read("http://127.0.0.1:1", kind)
    assert TOKEN not in str(away.value)


def test_a_client_shows_no_token() -> None:
    with Client("http://127.0.0.1:1", TOKEN) as client:
        assert TOKEN not in repr(client) + repr(vars(client)) + repr(vars(client.customers))
