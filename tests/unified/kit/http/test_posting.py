"""POSTs to one URL: each once, over connections that are kept, to addresses that were checked, and nowhere else."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from unified.kit.errors import ConfigurationError, ForbiddenHostError, ProtocolError, UnavailableError
from unified.kit.http.posting import Poster

Server = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[int]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Server]:
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return int(runners[-1].addresses[0][1])

    yield start
    for runner in runners:
        await runner.cleanup()


def poster(url: str, *, allow_private: bool = True) -> Poster:
    return Poster(url, label="subscription crm", allow_private=allow_private, timeout=10, most_bytes=1_000)


async def test_what_is_posted_arrives_as_it_is_over_one_connection(serve: Server) -> None:
    came, ports = [], set()

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        came.append((request.raw_path, request.host, request.headers, await request.read()))
        return web.Response(status=202, headers={"Retry-After": "7"})

    port = await serve(handle)
    sender = poster(f"http://localhost:{port}/in%20box?team=a%2Fb")
    for number in range(3):
        answer = await sender.post(b'{"number": %d}' % number, {"webhook-id": f"msg_{number}"})
        assert (answer.status, answer.headers.get("retry-after")) == (202, "7")
    await sender.aclose()
    path, host, headers, body = came[2]
    assert (path, host, body) == ("/in%20box?team=a%2Fb", f"localhost:{port}", b'{"number": 2}')
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", "msg_2")
    assert (len(came), len(ports)) == (3, 1)


async def test_a_redirect_is_an_answer(serve: Server) -> None:
    paths = []

    async def handle(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"location": "/elsewhere"})

    sender = poster(f"http://127.0.0.1:{await serve(handle)}/hooks")
    assert (await sender.post(b"{}", {})).status == 307
    assert paths == ["/hooks"]
    await sender.aclose()


async def test_no_answer_is_an_error_and_nothing_is_sent_again(serve: Server) -> None:
    count = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    sender = poster(f"http://127.0.0.1:{await serve(handle)}/hooks?key=fake")
    with pytest.raises(UnavailableError, match="subscription crm: POST /hooks got no answer") as caught:
        await sender.post(b"{}", {})
    assert "key" not in str(caught.value)
    assert count == 1
    await sender.aclose()


async def test_an_answer_is_read_up_to_a_limit(serve: Server) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_001)

    sender = poster(f"http://127.0.0.1:{await serve(handle)}/hooks")
    with pytest.raises(ProtocolError, match="answered by a body that is larger"):
        await sender.post(b"{}", {})
    await sender.aclose()


@pytest.mark.parametrize(
    ("url", "allow_private", "error"),
    [
        ("https://localhost:1/hooks", False, ForbiddenHostError),
        ("https://169.254.169.254/latest", True, ForbiddenHostError),
        ("http://hooks.example.com/", False, ConfigurationError),
        ("https://user:fake@hooks.example.com/", True, ConfigurationError),
    ],
)
async def test_no_other_address_is_reached(url: str, *, allow_private: bool, error: type[Exception]) -> None:
    with pytest.raises(error):
        await poster(url, allow_private=allow_private).post(b"{}", {})
