"""Requests that change something: when they are sent again, and what is known where no answer came."""

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unified.kit.http.test_client import ANYTHING, answer, client
from unified.kit.errors import RequestRefusedError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider
    from unified.kit.http.attempts import Effect

CUT, DOWN, DONE = answer(cut=True), answer(502, b""), answer()
LIMITED = answer(429, b"", headers={"retry-after": "0"})


async def change(provider: "ScriptedProvider", script: list[Any], effect: "Effect", **settings: Any) -> int:
    """Send one change; how many requests arrived."""
    provider.script = script
    http = client(provider.url, **settings)
    try:
        await http.request("POST", "/", ANYTHING, json={}, effect=effect)
    finally:
        await http.aclose()
    return len(provider.requests)


@pytest.mark.parametrize("trouble", [CUT, DOWN, answer(body=b"<html>")])
async def test_a_change_that_may_not_be_repeated_is_sent_once(
    provider: "ScriptedProvider", waits: list[float], trouble: Any
) -> None:
    with pytest.raises(UndecidedError, match="whether it was carried out is open"):
        await change(provider, [trouble, DONE], "once")
    assert len(provider.requests) == 1


async def test_what_certainly_did_nothing_is_sent_again(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    assert await change(provider, [LIMITED, LIMITED, DONE], "once") == 3


async def test_nothing_is_open_about_a_change_that_never_left(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.url = "http://127.0.0.1:9"  # where nobody listens
    with pytest.raises(UnavailableError) as raised:
        await change(provider, [], "once")
    assert not isinstance(raised.value, UndecidedError)


async def test_a_repeatable_change_is_sent_until_it_is_answered(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    assert await change(provider, [CUT, DOWN, DONE], "repeatable") == 3


@pytest.mark.parametrize(
    "last", [LIMITED, answer(401, b""), answer(503, b"", headers={"retry-after": "9999"})]
)
async def test_an_attempt_without_an_answer_leaves_open_what_later_ones_do_not_tell(
    provider: "ScriptedProvider", waits: list[float], last: Any
) -> None:
    with pytest.raises(UndecidedError):
        await change(provider, [CUT, last], "repeatable", retry_count=1)


async def test_a_refusal_decides_about_the_attempts_before_it(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    with pytest.raises(RequestRefusedError):
        await change(provider, [CUT, answer(400, b"")], "repeatable")


class Leaving:
    """A server that keeps connections alive, and closes each where its second request would be answered."""

    def __init__(self) -> None:
        self.arrived: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for has_answered in (False, True):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head.lower())
                await reader.readexactly(int(length[1]) if length else 0)
                self.arrived.append(head.split()[0])
                if not has_answered:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"])
@pytest.mark.parametrize(("effect", "retries"), [("once", 5), ("none", 0), ("repeatable", 0), ("none", 1)])
async def test_a_request_is_sent_as_often_as_we_say(
    method: str, effect: "Effect", retries: int, waits: list[float]
) -> None:
    leaving = Leaving()
    server = await asyncio.start_server(leaving.serve, "127.0.0.1", 0)
    http = client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry_count=retries)
    await http.request("POST", "/", ANYTHING, json={})  # the connection is kept alive
    arrived, counted = len(leaving.arrived), http.traffic.requests
    body = {"n": 1} if method in ("PUT", "POST", "PATCH") else None
    is_repeated = retries == 1
    with contextlib.nullcontext() if is_repeated else pytest.raises(UnavailableError):
        await http.request(method, "/", msgspec.json.Decoder(), json=body, effect=effect)
    sent = leaving.arrived[arrived:]
    assert sent == [method] * (2 if is_repeated else 1)
    assert http.traffic.requests - counted == len(sent)
    await http.aclose()
    server.close()


async def test_an_answer_without_a_body_is_none(provider: Any) -> None:
    provider.script = [answer(204, b"", headers={})]
    http = client(provider.url)
    assert await http.request("DELETE", "/", msgspec.json.Decoder(int | None), effect="repeatable") is None
    await http.aclose()
