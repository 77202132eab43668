"""The HTTP client against a provider that misbehaves, over real HTTP on loopback."""

import asyncio
import logging
import socket
import traceback
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import msgspec
import pytest
from pydantic import ValidationError
from yarl import URL

from unified.kit.declarations import AdapterConfig
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    ForbiddenHostError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import Meaning, Refusals

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider

SECRET = "sk_test_fake_never_show_me"
ANYTHING = msgspec.json.Decoder()
JSON = {"content-type": "application/json"}


def client(url: str, *, limit: RateLimit | None = None, **settings: Any) -> HttpClient:
    config = AdapterConfig(**{"base_url": url, "allow_private_hosts": True, "retry_delay": 0, **settings})
    return HttpClient(
        config,
        label="demo connection acme/main",
        headers={"authorization": f"Bearer {SECRET}"},
        limits={"default": limit or RateLimit(1e9)},
    )


async def get(http: HttpClient, **options: Any) -> Any:
    try:
        return await http.request("GET", "/things", ANYTHING, **options)
    finally:
        await http.aclose()


def answer(status: int = 200, body: bytes = b'{"good": true}', **options: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"status": status, "body": body, "headers": JSON, "cut": False, "never": False} | options
    )


GOOD = answer()


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 502, 503])
async def test_an_answer_that_may_pass_is_retried(
    provider: "ScriptedProvider", waits: list[float], status: Any
) -> None:
    provider.script = [answer(status), answer(status), GOOD]
    http = client(provider.url)
    assert await get(http) == {"good": True}
    assert (http.traffic.requests, http.traffic.retries) == (3, 2)
    assert http.traffic.refused == (2 if status == 429 else 0)


@pytest.mark.parametrize(
    "trouble",
    [
        answer(body=b'{"good": true, "padding": "0123456789"}', cut=True),
        answer(body=b"<!DOCTYPE html><html></html>", headers={"content-type": "text/html; charset=utf-8"}),
        answer(body=b'{"good": tr'),
        answer(body=b'{"good": "\xff"}'),
        answer(body=b""),
    ],
    ids=["cut connection", "HTML", "malformed JSON", "no UTF-8", "empty"],
)
async def test_a_broken_answer_is_asked_for_again(
    provider: "ScriptedProvider", waits: list[float], trouble: Any
) -> None:
    provider.script = [trouble, GOOD]
    assert await get(client(provider.url)) == {"good": True}
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefusedError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (409, RequestRefusedError),
        (422, RequestRefusedError),
    ],
)
async def test_a_refusal_surfaces_at_once(provider: "ScriptedProvider", status: Any, kind: Any) -> None:
    provider.script = [answer(status, b"{}")]
    with pytest.raises(kind, match=rf"demo connection acme/main: GET /things answered {status}") as caught:
        await get(client(provider.url))
    assert caught.value.status == status
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("trouble", "kind", "told"),
    [
        (answer(500), UnavailableError, "answered 500"),
        (answer(429), RateLimitedError, "answered 429"),
        (
            answer(body=b"<html>", headers={"content-type": "text/html"}),
            ProtocolError,
            "HTML instead of JSON",
        ),
        (answer(body=b"{"), ProtocolError, r"not the JSON it documents \(application/json\)"),
        (answer(body=b"1234", cut=True), UnavailableError, "no answer"),
    ],
    ids=["500", "429", "HTML", "malformed JSON", "cut connection"],
)
async def test_trouble_that_stays_surfaces_after_all_retries(
    provider: "ScriptedProvider", waits: list[float], trouble: Any, kind: Any, told: str
) -> None:
    provider.script = [trouble]
    with pytest.raises(kind, match=told):
        await get(client(provider.url, retry_count=3))
    assert len(provider.requests) == 4


async def test_a_trial_asks_no_more_often_elsewhere(provider: "ScriptedProvider", waits: list[float]) -> None:
    provider.script = [answer(503)]
    http = client("http://127.0.0.1:1", retry_count=4)
    http.bound(1000, attempts=2)
    with pytest.raises(UnavailableError):
        await get(http.elsewhere(httpx.URL(provider.url)))
    assert len(provider.requests) == 2


async def test_a_provider_that_never_answers_times_out(provider: "ScriptedProvider") -> None:
    for timeout in (0.05, 1, 20):
        provider.script = [answer(never=True)]
        provider.requests.clear()
        with pytest.raises(UnavailableError, match="timed out"):
            await get(client(provider.url, timeout=timeout, retry_count=1))
        if len(provider.requests) == 2:
            return
        # A busy machine did not even send them in that time.
    pytest.fail(f"{len(provider.requests)} requests instead of 2")


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\n", b"x-more: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["body", "headers", "hints"],
)
async def test_an_answer_that_comes_in_drops_has_an_end(head: bytes, drop: bytes) -> None:
    """Each comes in time. However slow the machine is, some do: with a longer limit where it was too short."""
    drops, pause = 0, 0.0
    dripping: list[asyncio.Task[Any]] = []

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal drops
        task = asyncio.current_task()
        assert task is not None
        dripping.append(task)
        with closing(writer), suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while not writer.is_closing():
                writer.write(drop)
                await writer.drain()
                drops += 1
                await asyncio.sleep(pause)

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for timeout in (0.1, 2):
            drops, pause = 0, timeout / 4
            with pytest.raises(UnavailableError, match="timed out"):
                await get(client(url, timeout=timeout, retry_count=0))
            await asyncio.gather(*dripping)
            if drops > 10:  # more than one part's time
                return
    pytest.fail(f"only {drops} drops came")


async def test_a_provider_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(UnavailableError, match="check its address and the network"):
        await get(client(f"http://127.0.0.1:{port}", retry_count=1))


async def test_retry_after_in_seconds_is_obeyed(provider: "ScriptedProvider", waits: list[float]) -> None:
    provider.script = [answer(429, headers={"retry-after": "7", **JSON}), GOOD]
    await get(client(provider.url, retry_delay=0.5))
    assert 7 <= waits[0] <= 7 + 0.7


async def test_retry_after_as_a_date_is_obeyed(provider: "ScriptedProvider", waits: list[float]) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    provider.script = [answer(503, headers={"retry-after": until, **JSON}), GOOD]
    await get(client(provider.url, retry_delay=0.5))
    assert 30 < waits[0] <= 60 + 6


@pytest.mark.parametrize("nonsense", ["soon", "-5", "Mon, 99 Nov 2026 00:00:00 GMT"])
async def test_a_retry_after_that_is_nonsense_does_no_harm(
    provider: "ScriptedProvider", waits: list[float], nonsense: str
) -> None:
    provider.script = [answer(503, headers={"retry-after": nonsense, **JSON}), GOOD]
    assert await get(client(provider.url, retry_delay=0.5)) == {"good": True}
    assert waits[0] <= 1.0


async def test_without_retry_after_the_wait_doubles(provider: "ScriptedProvider", waits: list[float]) -> None:
    provider.script = [answer(500), answer(500), answer(500), GOOD]
    await get(client(provider.url, retry_delay=0.5))
    waited = [wait for wait in waits if wait]
    assert [low <= wait <= low + 0.5 for wait, low in zip(waited, (0.5, 1.0, 2.0), strict=True)] == [True] * 3


async def test_a_wait_of_an_hour_is_left_to_the_next_run(provider: "ScriptedProvider") -> None:
    provider.script = [answer(429, headers={"retry-after": "3600", **JSON})]
    with pytest.raises(RateLimitedError) as raised:
        await get(client(provider.url))
    assert raised.value.wait == 3600
    assert len(provider.requests) == 1
    provider.script = [answer(422, headers={"retry-after": "3600", **JSON})]
    with pytest.raises(RequestRefusedError) as refused:
        await get(client(provider.url))
    assert refused.value.wait is None, "it is refused whenever it comes"


async def test_a_429_slows_the_limit_down(provider: "ScriptedProvider", waits: list[float]) -> None:
    provider.script = [answer(429, headers={"retry-after": "2", **JSON}), GOOD]
    limit = RateLimit(100)
    await get(client(provider.url, limit=limit))
    assert limit.rate < 100


@pytest.mark.parametrize("holds_all", [True, False])
async def test_a_limit_holds_back_its_own_requests_or_all(
    provider: "ScriptedProvider", waits: list[float], *, holds_all: bool
) -> None:
    provider.script = [answer(429, headers={"retry-after": "2", **JSON}), GOOD]
    http = client(provider.url, limit=RateLimit(100))
    http._limits = {"default": RateLimit(100), "search": RateLimit(100)}
    http._refusals = Refusals(statuses={429: Meaning(RateLimitedError, retry=True, holds_all=holds_all)})
    await get(http, limit="search")
    rates = {name: limit.rate < 100 or limit.is_saturated for name, limit in http._limits.items()}
    assert rates == {"default": holds_all, "search": True}


async def test_half_a_surrogate_pair_does_not_make_a_page_unreadable(provider: "ScriptedProvider") -> None:
    body = rb'{"cut": "x\ud83d", "whole": "\ud83d\ude00 \\ud83d", "odd": "\ude00\uD83D\u0041\""}'
    provider.script = [answer(body=body)]
    found = await get(client(provider.url))
    assert found == {"cut": "x\ufffd", "whole": "\U0001f600 \\ud83d", "odd": '\ufffd\ufffdA"'}


async def test_redirects_are_not_followed(
    provider: "ScriptedProvider", other_provider: "ScriptedProvider"
) -> None:
    provider.script = [answer(302, headers={"location": f"{other_provider.url}/things", **JSON})]
    with pytest.raises(ProtocolError, match="Redirects are not followed"):
        await get(client(provider.url))
    assert (len(provider.requests), other_provider.requests) == (1, [])


async def test_an_accepted_error_status_is_an_answer(provider: "ScriptedProvider") -> None:
    provider.script = [answer(404, b'{"gone": true}')]
    assert await get(client(provider.url), accept=(404,)) == {"gone": True}


async def test_the_providers_reading_of_an_error_decides(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.script = [answer(409), GOOD]
    http = client(provider.url)
    http._refusals = Refusals(statuses={409: Meaning(RequestRefusedError, retry=True)})
    assert await get(http) == {"good": True}
    provider.requests.clear()
    provider.script = [answer(400, b'{"told": "a\\n  long   story", "code": "story"}')]
    http = client(provider.url)
    http._refusals = Refusals(codes_at=("code",), reasons_at=("told",))
    with pytest.raises(RequestRefusedError, match=r"answered 400: a long story$") as caught:
        await get(http)
    assert caught.value.code == "story"


async def test_the_providers_clock_is_known(provider: "ScriptedProvider", waits: list[float]) -> None:
    provider.script = [answer(headers={"date": "Fri, 20 Nov 2026 21:41:00 GMT", **JSON})]
    http = client(provider.url)
    assert http.server_time is None
    await http.request("GET", "/things", ANYTHING)
    provider.script = [answer(headers={"date": "yesterday", **JSON})]
    await get(http)
    assert http.server_time == datetime(2026, 11, 20, 21, 41, tzinfo=UTC)


async def test_clients_of_one_connection_share_its_limits(provider: "ScriptedProvider") -> None:
    class Asked(RateLimit):
        turns = 0

        async def acquire(self) -> float:
            self.turns += 1
            return 2.0

    limit = Asked(1)
    one, other = client(provider.url, limit=limit), client(provider.url)
    other.join(one)
    await get(one)
    await get(other)
    assert limit.turns == 2
    assert (one.traffic.waited, other.traffic.waited) == (2.0, 2.0)
    assert (one.traffic.requests, other.traffic.requests) == (1, 1)


async def test_an_answer_is_had_with_its_headers_and_whatever_body(provider: "ScriptedProvider") -> None:
    csv = "Id,Name\n1,Zoë\n".encode("latin-1")
    headers = {"content-type": "text/csv; charset=iso-8859-1", "sforce-locator": "abc", "link": "</next>"}
    provider.script = [answer(201, csv, headers=headers)]
    http = client(provider.url)
    found = await http.exchange("GET", "/rows", headers={"accept": "text/csv"}, params={"page": "2"})
    assert (found.status, found.kind, found.headers["Sforce-Locator"]) == (201, "text/csv", "abc")
    assert (found.body, found.text) == (csv, "Id,Name\n1,Zoë\n")
    assert provider.requests[0].startswith("get /rows?page=2 ")
    assert "accept: text/csv" in provider.requests[0]
    await http.aclose()


async def test_no_cookie_is_sent_back(provider: "ScriptedProvider") -> None:
    provider.script = [answer(headers={**JSON, "set-cookie": "session=abc; path=/"})]
    http = client(provider.url)
    await http.request("GET", "/things", ANYTHING)
    await get(http)
    assert not any("cookie" in request for request in provider.requests)


async def test_the_time_that_all_requests_waited_is_added_up(provider: "ScriptedProvider") -> None:
    class Slow(RateLimit):
        async def acquire(self) -> float:
            await asyncio.sleep(0)
            return 1.0

    http = client(provider.url, limit=Slow(1))
    await asyncio.gather(*(http.request("GET", "/", ANYTHING) for _ in range(8)))
    assert http.traffic.waited == 8.0
    await http.aclose()


async def test_bytes_of_any_kind_are_no_trouble(provider: "ScriptedProvider") -> None:
    body = bytes(range(256)) * 100
    provider.script = [answer(body=body, headers={})]
    http = client(provider.url)
    found = await http.exchange("GET", "/")
    assert (found.body, found.kind) == (body, "")
    provider.script = [answer(404)]
    with pytest.raises(NotFoundError):
        await http.exchange("GET", "/")
    await http.aclose()


async def test_requests_that_were_told_to_wait_come_back_spread(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.script = [*[answer(503, headers={"retry-after": "10", **JSON})] * 20, GOOD]
    http = client(provider.url, retry_delay=0.5, concurrency=20)
    await asyncio.gather(*(http.request("GET", "/", ANYTHING) for _ in range(20)))
    told = [wait for wait in waits if wait >= 1]
    assert len(told) == 20
    assert all(10 <= wait <= 11 for wait in told)
    tenths = Counter(round(wait, 1) for wait in told)
    assert max(tenths.values()) < 10
    await http.aclose()


# The guard ----------------------------------------------------------------------------------------

HIDDEN = [
    "127.0.0.1",
    "localhost",
    "10.0.0.1",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "169.254.169.254",
    "2852039166",  # 169.254.169.254 in decimal
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00::1]",
]


@pytest.mark.parametrize("host", HIDDEN)
async def test_a_host_that_is_not_public_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenHostError, match="is not public"):
        await get(client(f"https://{host}/", allow_private_hosts=False))


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0251.0376.0251.0376", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "[fe80::1]"],
)
async def test_machines_metadata_is_refused_even_where_private_hosts_are_allowed(host: str) -> None:
    with pytest.raises((ForbiddenHostError, ConfigurationError), match=r"metadata is served there|not a URL"):
        await get(client(f"http://{host}/", allow_private_hosts=True, retry_count=0))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_the_metadata_is_not_followed(provider: "ScriptedProvider", status: Any) -> None:
    provider.script = [
        answer(status, headers={"location": "http://169.254.169.254/latest/meta-data", **JSON})
    ]
    with pytest.raises(ProtocolError, match="Redirects are not followed"):
        await get(client(provider.url))
    assert len(provider.requests) == 1


class HostsConfig(AdapterConfig):
    hosts = ("example.com",)


@pytest.mark.parametrize(
    ("base_url", "is_known"),
    [
        ("https://example.com", True),
        ("https://eu1.api.example.com/v1", True),
        ("https://evilexample.com", False),
        ("https://example.com.evil.org", False),
        ("https://93.184.215.14", False),
        ("https://EXAMPLE.com", True),
    ],
)
def test_a_connectors_own_hosts_are_the_only_ones(base_url: str, is_known: bool) -> None:
    def make(**settings: Any) -> HttpClient:
        return HttpClient(HostsConfig(base_url=base_url, **settings), label="demo", limits={})

    if is_known:
        make()
    else:
        with pytest.raises(ForbiddenHostError, match=r"not one of this system's hosts \(example\.com\)"):
            make()
        make(allow_private_hosts=True)  # a stand-in's, say


async def test_the_public_internet_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = await sent_to(monkeypatch, [["93.184.215.14"]])
    assert connected == [("93.184.215.14", "api.example.com", "api.example.com")]


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("http://api.example.com", "must be https"),
        ("https://user:pass@api.example.com", "without a user"),
        ("https://api.example.com@127.0.0.1/", "without a user"),
        ("https://api.example.com/?key=1", "query"),
        ("https://api.example.com/?", "query"),
        ("https://api.example.com/#here", "fragment"),
        ("ftp://api.example.com", "must look like https"),
        ("api.example.com", "must look like https"),
        ("https://", "must look like https"),
        ("https://[::1", "not a URL"),
        ("https://0177.0.0.1", "not a URL"),
    ],
)
def test_a_base_url_that_can_hide_something_is_refused(base_url: str, told: str) -> None:
    with pytest.raises((ConfigurationError, ValidationError), match=told):
        client(base_url, allow_private_hosts=False)


async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ForbiddenHostError, match=r"api\.example\.com leads to 10\.1\.2\.3"):
        await sent_to(monkeypatch, [["93.184.215.14", "10.1.2.3"]])


async def test_a_name_server_that_changes_its_mind_leads_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first answer passed the guard, so every request goes there: the second answer is never asked for.
    connected = await sent_to(monkeypatch, [["93.184.215.14"], ["127.0.0.1"]], requests=3)
    assert {address for address, _, _ in connected} == {"93.184.215.14"}


async def test_a_name_is_checked_again_when_its_address_stops_answering(
    monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    with pytest.raises(ForbiddenHostError, match=r"127\.0\.0\.1"):
        await sent_to(monkeypatch, [["93.184.215.14"], ["127.0.0.1"]], unreachable={"93.184.215.14"})


async def test_the_next_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = await sent_to(
        monkeypatch, [["93.184.215.14", "93.184.215.15"]], unreachable={"93.184.215.14"}
    )
    assert [address for address, _, _ in connected] == ["93.184.215.14", "93.184.215.15"]


async def sent_to(
    monkeypatch: pytest.MonkeyPatch,
    resolved: list[list[str]],
    *,
    requests: int = 1,
    unreachable: frozenset[str] | set[str] = frozenset(),
) -> list[tuple[str, str, str]]:
    """Address, Host header and TLS name of each request; the network ends where a connection would begin."""
    answers = iter(resolved)
    connected = []

    async def getaddrinfo(host: str, port: int, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    @asynccontextmanager
    async def connect(
        self: aiohttp.ClientSession,
        method: str,
        url: URL,
        *,
        headers: list[tuple[str, str]],
        server_hostname: str,
        **options: Any,
    ) -> AsyncIterator[Any]:
        connected.append((url.host, dict(headers)["host"], server_hostname))
        if url.host in unreachable:
            place = SimpleNamespace(host=url.host, port=url.port, ssl=True)
            raise aiohttp.ClientConnectorError(place, OSError("no route"))  # type: ignore[arg-type]

        async def body() -> AsyncIterator[bytes]:
            yield b"{}"

        content = SimpleNamespace(iter_any=body)
        yield SimpleNamespace(status=200, headers={}, raw_headers=[], content_length=2, content=content)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(aiohttp.ClientSession, "request", connect)
    http = client("https://api.example.com", allow_private_hosts=False)
    try:
        for _ in range(requests):
            await http.request("GET", "/things", ANYTHING)
    finally:
        await http.aclose()
    return connected


# Secrets ------------------------------------------------------------------------------------------


async def test_no_error_and_no_log_line_holds_the_secret(
    provider: "ScriptedProvider",
    other_provider: "ScriptedProvider",
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    troubles = [
        answer(status, f'{{"error": "{SECRET} is wrong"}}'.encode())
        for status in (302, 400, 401, 403, 404, 409, 429, 500)
    ]
    troubles += [answer(body=SECRET.encode()), answer(body=SECRET.encode(), cut=True), answer(never=True)]
    shown = []
    for trouble in troubles:
        timeout = 0.05 if trouble is troubles[-1] else 60
        provider.script, http = [trouble], client(provider.url, retry_count=1, timeout=timeout)
        shown += [repr(http), repr(http.traffic)]
        with pytest.raises(ProviderError) as caught:
            await get(http)
        error: BaseException | None = caught.value
        shown += traceback.format_exception(caught.value)
        while error is not None:
            shown += [str(error), repr(error)]
            error = error.__cause__ or error.__context__
    assert f"bearer {SECRET}" in provider.requests[0]
    assert len(shown) > 5 * len(troubles)
    assert not [
        line for line in [*shown, *(record.getMessage() for record in caplog.records)] if SECRET in line
    ]


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET}é", f"{SECRET}\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="no HTTP header can carry") as caught:
        HttpClient(
            AdapterConfig(base_url="https://api.example.com"),
            label="demo connection acme/main",
            headers={"authorization": f"Bearer {key}"},
            limits={},
        )
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
