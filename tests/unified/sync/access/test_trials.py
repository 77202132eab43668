"""One provider's answer, or one adapter that blocks, holds up nothing else of this process."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account, AdapterConfig, ConnectionRef, CredentialField, CredentialKind
from unified.kit.errors import ProtocolError, UnavailableError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.secrets import Secret
from unified.sync.access import trials

if TYPE_CHECKING:
    from collections.abc import Callable

import msgspec

ACCOUNT = Account("acct_1", "Acme")
_ANYTHING = msgspec.json.Decoder()


class Asking(BaseAdapter[AdapterConfig]):
    """An adapter whose test does what a case says."""

    name = "asking"
    display_name = "Asking"
    capabilities = frozenset()
    config_model = AdapterConfig
    credential_kind = CredentialKind.API_KEY
    credential_fields = (CredentialField("api_key", "API key", "a fake one"),)
    streams = ()
    do: Callable[[Asking], Any]

    def open_http(self) -> HttpClient:
        return HttpClient(
            self.config, label=self.label, limits={"default": RateLimit(1e6)}, auth=self.authentication()
        )

    async def test(self) -> Account:
        result = self.do()
        if asyncio.iscoroutine(result):
            await result
        return ACCOUNT


def adapter(do: Callable[[Asking], Any], url: str = "http://127.0.0.1:1", **how: Any) -> Asking:
    config = AdapterConfig(base_url=url, allow_private_hosts=True, retry_count=0)
    made = Asking(
        config, {"api_key": Secret("fake")}, ConnectionRef(UUID(int=1), UUID(int=2), "acme/x"), **how
    )
    made.do = do.__get__(made)
    return made


async def test_an_adapter_that_blocks_blocks_nobody_else() -> None:
    go_on = threading.Event()
    blocked = asyncio.create_task(trials.account_of(adapter(lambda _: go_on.wait())))
    # Other trials, and everything else on this loop, go on meanwhile.
    for _ in range(3):
        assert await trials.account_of(adapter(lambda _: None)) == ACCOUNT
    assert not blocked.done()
    go_on.set()
    assert await blocked == ACCOUNT


async def test_an_adapter_that_blocks_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "TEST_SECONDS", 0.1)
    go_on = threading.Event()
    try:
        with pytest.raises(UnavailableError, match="acme/x: no answer within"):
            await trials.account_of(adapter(lambda _: go_on.wait()))
    finally:
        go_on.set()


async def test_a_provider_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "TEST_SECONDS", 0.1)
    with pytest.raises(UnavailableError, match="no answer within"):
        await trials.account_of(adapter(lambda _: asyncio.sleep(3_600)))


async def ask(asking: Asking) -> None:
    await asking.http.request("GET", "/account", _ANYTHING)


@pytest.mark.parametrize("is_compressed", [True, False])
async def test_an_answer_is_small_or_refused(*, is_compressed: bool) -> None:
    body = b'["' + b"x" * (2 * trials.TEST_BYTES) + b'"]'
    sent = gzip.compress(body) if is_compressed else body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        coding = "content-encoding: gzip\r\n" if is_compressed else ""
        head = f"HTTP/1.1 200 OK\r\n{coding}content-length: {len(sent)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + sent)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ProtocolError, match="is larger than 1 MiB"):
            await trials.account_of(adapter(ask, url))


class Tokens:
    """A source that works on the loop that it was made on alone, as one does that asks the database."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def current(self) -> Secret:
        assert asyncio.get_running_loop() is self.loop
        return Secret("current")

    async def renewed(self, rejected: Secret) -> Secret:
        assert asyncio.get_running_loop() is self.loop
        return Secret(f"after {rejected.reveal()}")


async def test_tokens_are_asked_for_where_the_database_is() -> None:
    seen: list[str] = []

    async def look(asking: Asking) -> None:
        assert asking.tokens is not None
        first = await asking.tokens.current()
        seen.extend([first.reveal(), (await asking.tokens.renewed(first)).reveal()])

    assert await trials.account_of(adapter(look, tokens=Tokens())) == ACCOUNT
    assert seen == ["current", "after current"]
