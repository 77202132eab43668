"""Whatever is sent, the answer is a refusal that says no more than it should, nothing is stored, and all goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.unified.api.conftest import PROVIDER, AddEndpoint, Ingress, Serve, signed, stripe_event
from unified.api import protocol
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.store import CredentialStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

EVENT = stripe_event("evt_1")
NEWLINE = "\r\n"
OTHER = "x" * 32


@pytest.fixture(autouse=True)
async def _still_works(ingress: Ingress) -> AsyncIterator[None]:
    """After each of these, and only then, a good delivery is stored."""
    yield
    assert (await ingress.deliver("evt_good")).status_code == 200
    assert await ingress.stored() == ["evt_good"]


async def test_no_good_signature(ingress: Ingress) -> None:
    right = signed(EVENT)["stripe-signature"].encode()
    for values in (
        [],
        [b""],
        [b"garbage"],
        [b"t=,v1="],
        [b"t=9" + b"9" * 5_000 + b",v1=00"],
        [b"t=-1,v1=00"],
        [b"t=1,t=2,v1=00,v1=01"],
        [right[:-1] + "é".encode()],
        [right + b"\xff\xfe"],
        *(
            [wrong["stripe-signature"].encode()]
            for wrong in (
                signed(EVENT, "whsec_fake_other"),
                signed(EVENT + b" "),
                signed(EVENT, at=time.time() - 305),
                signed(EVENT, at=time.time() + 305),
            )
        ),
    ):
        headers = [(b"stripe-signature", value) for value in values]
        known = await ingress.client.post(ingress.path, content=EVENT, headers=headers)
        unknown = await ingress.client.post(f"/webhooks/stripe/{OTHER}", content=EVENT, headers=headers)
        assert (known.status_code, known.content) == (401, b""), values
        assert _shown(unknown) == _shown(known), values


async def test_an_endpoint_that_is_not_there_looks_like_a_bad_signature(
    ingress: Ingress, add_endpoint: AddEndpoint
) -> None:
    hubspot = await add_endpoint("hubspot", "fake-client-secret")
    bad = await ingress.client.post(ingress.path, content=EVENT, headers=signed(EVENT, "whsec_fake_other"))
    for path in (
        f"/webhooks/stripe/{OTHER}",
        f"/webhooks/nobody/{OTHER}",
        f"/webhooks/hubspot/{ingress.endpoint.path}",
        f"/webhooks/stripe/{hubspot.path}",
        f"{ingress.path}/more",
        f"{ingress.path[:-1]}%41",
        "/webhooks/stripe/short",
        "/webhooks/stripe/" + "x" * 10_000,
        "/webhooks/stripe/%00%ff%0d%0a",
        "/webhooks/",
        "/webhooks//",
    ):
        answer = await ingress.client.post(path, content=EVENT, headers=signed(EVENT))
        assert _shown(answer) == _shown(bad), path


async def test_a_paused_endpoint_looks_the_same(ingress: Ingress, add_endpoint: AddEndpoint) -> None:
    paused = await add_endpoint()
    await Endpoints(ingress.db, CredentialStore(ingress.db, PROVIDER)).set_active(paused, is_active=False)
    answer = await ingress.client.post(
        f"/webhooks/stripe/{paused.path}", content=EVENT, headers=signed(EVENT)
    )
    assert (answer.status_code, answer.content) == (401, b"")


async def test_other_methods_tell_nothing_either(ingress: Ingress) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        known = await ingress.client.request(method, ingress.path)
        unknown = await ingress.client.request(method, f"/webhooks/stripe/{OTHER}")
        assert known.status_code == 405
        assert _shown(known) == _shown(unknown)


async def test_a_signed_body_that_is_no_event(ingress: Ingress) -> None:
    for body in (
        b"",
        b"no JSON",
        b"[]",
        b"null",
        b"{}",
        b'{"id": 1, "type": "x", "created": 1}',
        b'{"id": "evt_1", "type": "x", "created": ' + b"9" * 400 + b"}",
        b'{"id": "evt_\\u0000", "type": "x", "created": 1}',
        b'{"id": "evt_1", "type": "\xff\xfe", "created": 1}',
        b'{"id": "evt_1", "type": "\\ud800", "created": 1}',
        b'{"id": "evt_1", "type": "x", "created": 1, "data": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        json.dumps({"id": "evt_1", "type": "x" * 10_000, "created": 1}).encode(),
        gzip.compress(EVENT),
    ):
        answer = await ingress.client.post(ingress.path, content=body, headers=signed(body))
        assert answer.status_code == 400, body[:100]
        assert answer.text.startswith("the delivery is signed, but")


async def test_a_compressed_body_is_never_unpacked(ingress: Ingress) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    for encoding in ("gzip", "deflate", "br", "GZIP, gzip"):
        answer = await ingress.client.post(
            ingress.path, content=bomb, headers={**signed(bomb), "content-encoding": encoding}
        )
        assert answer.status_code == 415


class TestBodiesThatAreTooLarge:
    @pytest.fixture
    async def ingress(self, serve: Serve) -> AsyncIterator[Ingress]:
        async with serve(body_bytes=2_000) as running:
            yield running

    async def test_as_they_say_themselves(self, ingress: Ingress) -> None:
        # Only the head is sent: it is refused before anything else is read.
        answer = await ingress.raw(_head(ingress, "Content-Length: 2001"))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer
        answer = await ingress.raw(_head(ingress, "Content-Length: " + "9" * 18))
        assert answer.startswith(b"HTTP/1.1 413 ")

    async def test_up_to_the_bound(self, ingress: Ingress) -> None:
        for size, status in ((2_000, 401), (2_001, 413)):
            assert (await ingress.client.post(ingress.path, content=b"x" * size)).status_code == status

    async def test_a_connector_that_delivers_a_hundred_events_may_send_more(self, ingress: Ingress) -> None:
        for size, status in ((32_000, 401), (32_001, 413)):
            answer = await ingress.client.post(f"/webhooks/hubspot/{OTHER}", content=b"x" * size)
            assert answer.status_code == status

    async def test_in_pieces_without_an_end(self, ingress: Ingress) -> None:
        chunk = b"100\r\n" + b"x" * 256 + b"\r\n"
        answer = await ingress.raw(_head(ingress, "Transfer-Encoding: chunked") + chunk * 8)
        assert answer.startswith(b"HTTP/1.1 413 ")

    async def test_in_small_pieces(self, ingress: Ingress) -> None:
        body = stripe_event("evt_1")

        async def pieces(size: int) -> AsyncIterator[bytes]:
            for _ in range(size):
                yield b"x"

        assert (await ingress.client.post(ingress.path, content=pieces(2_001))).status_code == 413
        assert (await ingress.client.post(ingress.path, content=pieces(1_000))).status_code == 401
        assert len(body) < 2_000


async def test_a_length_that_promises_more_than_comes(
    ingress: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection(*ingress.address)
    writer.write(_head(ingress, "Content-Length: 100") + b"x" * 99)
    assert await reader.read() == b""  # closed in time, and nothing was answered
    writer.close()


async def test_a_length_that_promises_less_than_comes(ingress: Ingress) -> None:
    body = stripe_event("evt_1")
    head = _head(
        ingress, f"Content-Length: {len(body) - 1}\r\nStripe-Signature: {signed(body)['stripe-signature']}"
    )
    assert (await ingress.raw(head + body)).startswith(b"HTTP/1.1 4")  # what is left over is no request


async def test_what_is_no_http(ingress: Ingress) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GARBAGE\r\n\r\n",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /webhooks/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhooks/stripe/x HTTP/1.1\r\nno colon\r\n\r\n",
    ):
        assert (await ingress.raw(garbage)).startswith(b"HTTP/1.1 4"), garbage


async def test_a_head_without_an_end(ingress: Ingress) -> None:
    reader, writer = await asyncio.open_connection(*ingress.address)
    writer.write(_head(ingress, "X-Filler: ")[:-4])
    sent = 0
    try:
        while not reader.at_eof() and sent < 10 * protocol.HEAD_BYTES:
            writer.write(b"x" * 8_192)
            await writer.drain()
            sent += 8_192
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    assert sent < 10 * protocol.HEAD_BYTES
    writer.close()


async def test_a_connection_on_which_nothing_comes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    async with serve() as ingress:
        for silence in (b"", b"POST /webhooks"):
            reader, writer = await asyncio.open_connection(*ingress.address)
            writer.write(silence)
            assert await reader.read() == b""
            writer.close()


async def test_requests_that_pile_up_on_one_connection(ingress: Ingress) -> None:
    reader, writer = await asyncio.open_connection(*ingress.address)
    writer.write(_head(ingress, "Content-Length: 0") * 1_000)
    received = await reader.read()
    assert received.count(b"HTTP/1.1 ") <= protocol.MOST_PIPELINED + 2
    writer.close()


async def test_more_connections_than_there_may_be(serve: Serve) -> None:
    async with serve(connections=3) as ingress:
        held = [await asyncio.open_connection(*ingress.address) for _ in range(3)]
        reader, writer = await asyncio.open_connection(*ingress.address)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in answer
        for _, other in [*held, (reader, writer)]:
            other.close()


def _head(ingress: Ingress, *headers: str) -> bytes:
    return f"POST {ingress.path} HTTP/1.1\r\nHost: x\r\n{NEWLINE.join(headers)}\r\n\r\n".encode()


def _shown(answer: httpx.Response) -> tuple[int, list[str], bytes]:
    return answer.status_code, list(answer.headers), answer.content
