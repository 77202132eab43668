"""Dagster's real webserver behind the guard: its own pages work, other pages and other names get nothing.

That `unified dev` puts the same guard before its UI is seen where that runs, in `tests/unified/cli/demo`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from unified.cli.commands.operation.dev import ui_token
from unified.cli.processes.child import free_port
from unified.cli.processes.guard import TOKEN_VARIABLE, Guard

TOKEN = "fake-token-of-the-tests"
ASK = {"query": "{ version }"}
FOREIGN = "https://evil.example"
START_SECONDS = 180


@contextmanager
def running(folder: Path, **variables: str) -> Iterator[str]:
    """The webserver, which shows nobody's definitions: what they are is no matter here; its address."""
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    address = f"127.0.0.1:{free_port('127.0.0.1', 0)}"
    host, _, port = address.partition(":")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "unified.cli.processes.webserver",
                "--empty-workspace",
                "--host",
                host,
                "--port",
                port,
            ],
            cwd=folder,
            env={**os.environ, "DAGSTER_HOME": str(folder), **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                httpx.get(f"http://{address}/server_info", timeout=5)
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        tree = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in tree:
            if child.is_running():
                child.kill()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("open")) as found:
        yield found


@pytest.fixture(scope="module")
def with_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("token"), UNIFIED_UI_TOKEN=TOKEN) as found:
        yield found


def post(address: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"http://{address}/graphql", json=ASK, headers=given, timeout=60)


def subscribed(address: str, **headers: str) -> Any:
    """What the UI's websocket says first, or the status that it is refused with."""
    more = {name: value for name, value in headers.items() if name not in ("origin", "host")}
    try:
        with connect(
            f"ws://{address}/graphql",
            subprotocols=["graphql-ws"],  # type: ignore[list-item]  # a plain text is one
            additional_headers={**more, **({"Origin": headers["origin"]} if "origin" in headers else {})},
            open_timeout=60,
        ) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": {}}))
            return json.loads(socket.recv(timeout=60))["type"]
    except InvalidStatus as refusal:
        return refusal.response.status_code


def test_the_ui_works_at_its_own_address(address: str) -> None:
    page = httpx.get(f"http://{address}/", timeout=60)
    assert page.status_code == 200
    script = page.text.partition('src="')[2].partition('"')[0]
    assert httpx.get(f"http://{address}{script}", timeout=60).status_code == 200
    port = address.partition(":")[2]
    for name in (address, f"localhost:{port}"):
        answer = post(name, origin=f"http://{name}", sec_fetch_site="same-origin")
        assert answer.json()["data"]["version"]
        assert subscribed(name, origin=f"http://{name}") == "connection_ack"
    assert post(address).status_code == 200, "a program sends no origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": FOREIGN},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost"},
        {"origin": "https://127.0.0.1.evil.example"},
        {"origin": "http://[broken"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
        {"host": "evil.example"},
        {"host": "evil.example:3000", "origin": "http://evil.example:3000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "127.0.0.1@evil.example"},
        {"host": "169.254.169.254"},
        {"host": ""},
    ],
)
def test_pages_and_names_of_others_get_nothing(address: str, headers: Mapping[str, str]) -> None:
    answer = post(address, **headers)
    assert answer.status_code == 403
    assert answer.text.startswith("Dagster's UI did not take this request: ")
    assert answer.text.count("\n") == 1
    # A plain form or an image sends no origin, and Dagster answers questions in the address as well.
    if "origin" not in headers:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://{address}/graphql?query=%7Bversion%7D"
        assert httpx.get(url, headers=given, timeout=60).status_code == 403


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_websocket_of_another_page_is_not_opened(address: str, origin: str) -> None:
    assert subscribed(address, origin=origin) == 403


def test_a_link_from_elsewhere_leads_to_a_page_and_into_no_frame(address: str) -> None:
    link = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert httpx.get(f"http://{address}/runs", headers=link, timeout=60).status_code == 200
    framed = link | {"sec-fetch-dest": "iframe"}
    assert httpx.get(f"http://{address}/runs", headers=framed, timeout=60).status_code == 403


def test_where_a_token_is_asked_for_the_link_with_it_opens_the_ui(with_token: str) -> None:
    refused = httpx.get(f"http://{with_token}/", timeout=60)
    assert refused.status_code == 403
    assert "open the link that the command printed" in refused.text
    assert TOKEN not in refused.text
    assert post(with_token).status_code == 403
    assert subscribed(with_token) == 403
    assert post(with_token, authorization="Bearer wrong").status_code == 403
    assert httpx.get(f"http://{with_token}/?token=wrong", timeout=60).status_code == 403
    assert post(with_token, authorization=f"Bearer {TOKEN}").status_code == 200

    with httpx.Client(base_url=f"http://{with_token}", timeout=60) as browser:
        led = browser.get("/runs", params={"token": TOKEN, "view": "x y"})
        assert led.status_code == 303
        assert led.headers["location"] == "/runs?view=x+y"
        assert "HttpOnly; SameSite=Lax" in led.headers["set-cookie"]
        assert browser.get("/runs").status_code == 200
        assert browser.post("/graphql", json=ASK).json()["data"]["version"]
        assert browser.post("/graphql", json=ASK, headers={"origin": FOREIGN}).status_code == 403
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert subscribed(with_token, cookie=cookie) == "connection_ack"
    assert subscribed(with_token, cookie=cookie, origin=FOREIGN) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_alone_no_token_is_asked_for(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert ui_token(host) is None
    assert TOKEN_VARIABLE not in os.environ


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "ui.example.com"])  # noqa: S104 - the point
def test_beyond_this_machine_a_token_is_made_or_taken(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "")
    made = ui_token(host)
    assert made is not None
    assert len(made) >= 32
    assert os.environ[TOKEN_VARIABLE] == made
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert ui_token(host) == TOKEN


async def asked(guard: Guard, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=guard)
    async with httpx.AsyncClient(transport=transport, base_url="http://ui.example.com") as client:
        return await client.get(path, headers=headers)


async def test_hosts_that_are_named_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Starlette(routes=[Route("/{path:path}", lambda _: PlainTextResponse("in"))])
    assert (await asked(Guard(app), "/")).status_code == 403
    guard = Guard(app, hosts=["UI.example.com"])
    assert (await asked(guard, "/")).text == "in"
    # Behind a proxy that ends TLS the page's own origin is https.
    assert (await asked(guard, "/", origin="https://ui.example.com")).text == "in"
    assert (await asked(guard, "/", origin="https://example.com")).status_code == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%2f/evil.example", "///"])
async def test_the_link_with_the_token_leads_nowhere_else(path: str) -> None:
    app = Starlette(routes=[Route("/{path:path}", lambda _: PlainTextResponse("in"))])
    answer = await asked(Guard(app, token=TOKEN), f"{path}?token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/")
    assert not answer.headers["location"].startswith(("//", "/\\"))
