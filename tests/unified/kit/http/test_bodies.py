"""Bodies that are larger than they look, over real HTTP: what is read, and what memory and time it takes."""

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.http.test_client import ANYTHING, answer, client
from unified.kit.errors import ProtocolError, UndecidedError
from unified.kit.http import bodies

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider

MIB = 2**20
RECORDS = b"[" + b",".join(b'{"id": "cus_%06d", "name": "N"}' % number for number in range(5_000)) + b"]"


def raw_deflate(body: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(body) + compress.flush()


def encoded(body: bytes, how: str, **options: Any) -> Any:
    return answer(body=body, headers={"content-type": "application/json", "content-encoding": how}, **options)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (gzip.compress(RECORDS), "gzip"),
        (gzip.compress(RECORDS), "GZIP"),
        (gzip.compress(RECORDS), "x-gzip"),
        (gzip.compress(RECORDS[:50_000]) + gzip.compress(RECORDS[50_000:]), "gzip"),
        (gzip.compress(RECORDS) + bytes(100), "gzip"),
        (zlib.compress(RECORDS), "deflate"),
        (raw_deflate(RECORDS), "deflate"),
        (RECORDS, "identity"),
        (RECORDS, ""),
    ],
)
async def test_a_body_is_read_whole(provider: "ScriptedProvider", body: bytes, how: str) -> None:
    provider.script = [encoded(body, how)]
    http = client(provider.url)
    assert len(await http.request("GET", "/", ANYTHING)) == 5_000
    assert "accept-encoding: gzip, deflate\r\n" in provider.requests[0]
    await http.aclose()


@pytest.mark.parametrize(
    ("body", "how", "told"),
    [
        (gzip.compress(RECORDS)[:-20], "gzip", "ends before its gzip does"),
        (RECORDS, "gzip", "is not the gzip that its header says"),
        (RECORDS, "br", "is encoded as 'br', which was not asked for"),
        (gzip.compress(RECORDS), "gzip, gzip", "which was not asked for"),
    ],
)
async def test_a_body_that_is_not_what_its_header_says_is_a_clear_error(
    provider: "ScriptedProvider", body: bytes, how: str, told: str
) -> None:
    provider.script = [encoded(body, how)]
    http = client(provider.url)
    with pytest.raises(ProtocolError, match=rf"acme/main: GET / was answered by a body that .*{told}"):
        await http.request("GET", "/", ANYTHING)
    assert len(provider.requests) == 1
    await http.aclose()


@pytest.mark.parametrize("most", [None, MIB])
async def test_a_bomb_does_not_go_off(provider: "ScriptedProvider", most: int | None) -> None:
    bomb = gzip.compress(bytes(200 * MIB))
    assert len(bomb) < MIB / 2
    provider.script = [encoded(bomb, "gzip")]
    http = client(provider.url)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match=r"is larger than 1 MiB|grows more than 100 times"):
            await http.exchange("GET", "/", most_bytes=most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB
    await http.aclose()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_its_limit_is_not_read(provider: "ScriptedProvider", declared: bool) -> None:
    chunk = b"40000\r\n" + bytes(0x40000) + b"\r\n"
    huge = answer(body=b"x" * (3 * MIB))
    chunked = answer(body=chunk * 12 + b"0\r\n\r\n", headers={"transfer-encoding": "chunked"})
    provider.script = [huge if declared else chunked]
    http = client(provider.url)
    with pytest.raises(ProtocolError, match="is larger than 2 MiB, which is the most that is read"):
        await http.exchange("GET", "/", most_bytes=2 * MIB)
    assert len((await http.exchange("GET", "/", most_bytes=4 * MIB)).body) == 3 * MIB
    await http.aclose()


async def test_a_change_whose_answer_is_too_large_may_have_been_made(provider: "ScriptedProvider") -> None:
    provider.script = [answer(body=b"x" * MIB)]
    http = client(provider.url)
    with pytest.raises(UndecidedError, match="whether it was carried out is open"):
        await http.exchange("POST", "/", json={}, effect="once", most_bytes=1_000)
    await http.aclose()


async def test_others_go_on_while_a_large_body_is_decompressed() -> None:
    body = b"".join(b"%032x" % (number * 2_654_435_761) for number in range(MIB // 2))
    packed, longest, at = gzip.compress(body, 1), 0.0, time.perf_counter()

    async def pieces() -> AsyncIterator[bytes]:
        yield packed

    reading = asyncio.ensure_future(bodies.read(pieces(), "gzip", bodies.MOST_BYTES))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
        longest, at = max(longest, time.perf_counter() - at), time.perf_counter()
    assert await reading == body
    assert turns >= len(body) / MIB, f"one piece took {longest:.3f} s"
