"""Each kind of credential over real HTTP: the header that arrives, and the one host that it arrives at."""

import base64
import json
import logging
import traceback
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import msgspec
import pytest

from tests.unified.kit.conftest import Answer
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    ConnectionRef,
    CredentialField,
    CredentialKind,
    Stream,
)
from unified.kit.errors import AuthenticationError, ConfigurationError, ForbiddenHostError, ProviderError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import Refusals
from unified.kit.secrets import MASK, Secret
from unified.kit.streams import Cursor, Origin, Page
from unified.schema.base import UnifiedBase
from unified.schema.entities import CUSTOMERS

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider

ANYTHING = msgspec.json.Decoder()
REF = ConnectionRef(UUID(int=1), UUID(int=2), "acme/demo")


class DemoAdapter(BaseAdapter[AdapterConfig]):
    """A third party's adapter: it declares its kind and leaves the rest to the base."""

    name = "demo"
    display_name = "Demo"
    capabilities = frozenset({Capability.READ})
    config_model = AdapterConfig
    credential_kind = CredentialKind.API_KEY
    credential_fields: ClassVar[tuple[CredentialField, ...]] = (CredentialField("key", "key", ""),)
    streams = (Stream("customers", CUSTOMERS),)

    def open_http(self) -> HttpClient:
        return HttpClient(
            self.config, label="demo", limits={"default": RateLimit(1e9)}, auth=self.authentication()
        )

    async def test(self) -> Account:
        await self.http.request("GET", "/me", ANYTHING)
        return Account("demo")

    def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        raise NotImplementedError

    def fetch(self, stream: str, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        raise NotImplementedError

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        raise NotImplementedError


class HeaderAdapter(DemoAdapter):
    api_key_header = "X-Api-Key"


class BearerAdapter(DemoAdapter):
    credential_kind = CredentialKind.BEARER_TOKEN
    api_key_header = "X-Api-Key"  # of no consequence


class BasicAdapter(DemoAdapter):
    credential_kind = CredentialKind.BASIC_AUTH
    credential_fields = (CredentialField("user", "user", ""), CredentialField("password", "password", ""))


class UserAdapter(DemoAdapter):
    api_key_place = "basic_user"


class QueryAdapter(DemoAdapter):
    api_key_place = "query"
    api_key_parameter = "hapikey"


class OAuthOnlyAdapter(DemoAdapter):
    credential_kind = CredentialKind.OAUTH_TOKEN
    credential_fields = ()


class Tokens:
    """A source of tokens that are good for nothing until the third."""

    def __init__(self) -> None:
        self.given = ["token-one", "token-two"]
        self.rejected: list[str] = []

    async def current(self) -> Secret:
        return Secret(self.given[len(self.rejected)])

    async def renewed(self, rejected: Secret) -> Secret:
        self.rejected.append(rejected.reveal())
        return Secret(self.given[len(self.rejected)])


def config(url: str) -> AdapterConfig:
    return AdapterConfig(base_url=url, allow_private_hosts=True, retry_delay=0)


@pytest.mark.parametrize(
    ("adapter", "credentials", "arrives"),
    [
        (DemoAdapter, {"key": "key_fake_1"}, "authorization: bearer key_fake_1"),
        (HeaderAdapter, {"key": "key_fake_1"}, "x-api-key: key_fake_1"),
        (BearerAdapter, {"key": "key_fake_1"}, "authorization: bearer key_fake_1"),
        # RFC 7617's own example (section 2.1), in lower case as all that the provider notes.
        (BasicAdapter, {"user": "test", "password": "123£"}, "authorization: basic dgvzddoxmjpcow=="),
    ],
)
async def test_a_kind_is_a_header(
    provider: "ScriptedProvider", adapter: type[DemoAdapter], credentials: dict[str, str], arrives: str
) -> None:
    secrets = {name: Secret(value) for name, value in credentials.items()}
    async with adapter(config(provider.url), secrets, REF) as opened:
        await opened.test()
        assert not [value for value in credentials.values() if value in repr(vars(opened.http))]
    (head,) = provider.requests
    lines = head.split("\r\n")
    assert arrives in lines
    assert sum("authorization" in line or "api-key" in line for line in lines) == 1


async def test_a_key_is_the_user_of_basic_authentication(provider: "ScriptedProvider") -> None:
    async with UserAdapter(config(provider.url), {"key": Secret("key_fake_1")}, REF) as opened:
        await opened.test()
    sent = base64.b64encode(b"key_fake_1:").decode().lower()
    assert f"authorization: basic {sent}" in provider.requests[0].split("\r\n")


async def test_a_key_is_in_the_query_once_also_where_a_request_is_sent_again(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.script = [Answer(500), Answer(500), Answer()]
    async with QueryAdapter(config(provider.url), {"key": Secret("key/fake 1&x=y")}, REF) as opened:
        await opened.http.request("GET", "/me?page=2", ANYTHING, params={"after": "a b", "list": ["1", "2"]})
    for head in provider.requests:
        query = parse_qsl(urlsplit(head.split()[1]).query)
        assert query == [("after", "a b"), ("list", "1"), ("list", "2"), ("hapikey", "key/fake 1&x=y")]
        assert "authorization" not in head


@pytest.mark.parametrize("adapter", [DemoAdapter, HeaderAdapter, UserAdapter, QueryAdapter])
@pytest.mark.parametrize(
    "echo",
    [
        lambda key: key,
        lambda key: json.dumps(key).replace("/", "\\/"),
        lambda key: key.replace("=", "\\u003D"),
        lambda key: quote(key, safe=""),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.b64encode(f"{key}:".encode()).decode(),
        lambda key: key.encode().hex().upper(),
    ],
)
async def test_a_key_that_is_echoed_is_shown_nowhere(
    provider: "ScriptedProvider",
    adapter: type[DemoAdapter],
    echo: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    key = "fake/canary+with=every?sign"
    said = echo(key)
    provider.script = [
        Answer(400, json.dumps({"message": f"{said} is wrong", "code": said}).encode()),
        Answer(400, f'{{"message": "{said} is wrong", "code": "x"}}'.encode()),
        Answer(200, b"<html>", {"content-type": said}),
        Answer(never=True),
    ]
    refusals = Refusals(codes_at=("code",), reasons_at=("message",))
    settings = config(provider.url).model_copy(update={"retry_count": 0, "timeout": 0.2})
    shown = []
    async with adapter(settings, {"key": Secret(key)}, REF) as opened:
        opened.http._refusals = refusals
        for _ in provider.script:
            with pytest.raises(ProviderError) as caught:
                await opened.http.request("GET", "/me", ANYTHING)
            shown += [str(caught.value), str(caught.value.code), *traceback.format_exception(caught.value)]
    shown += [record.getMessage() for record in caplog.records]
    assert MASK in shown[0]
    plain = [line for line in shown if key in line or said.strip('"') in line or quote(key, safe="") in line]
    assert not plain


async def test_a_user_with_a_colon_would_be_another_user() -> None:
    secrets = {"user": Secret("a:b"), "password": Secret("c")}
    with pytest.raises(ConfigurationError, match="a user with a colon"):
        await BasicAdapter(config("https://api.example.com"), secrets, REF).connect()


async def test_oauth_sends_once_more_with_another_token_where_one_is_rejected(
    provider: "ScriptedProvider",
) -> None:
    provider.script = [Answer(401), Answer()]
    tokens = Tokens()
    async with OAuthOnlyAdapter(config(provider.url), {}, REF, tokens=tokens) as opened:
        await opened.test()
        assert (opened.http.traffic.requests, opened.http.traffic.retries) == (2, 1)
    assert tokens.rejected == ["token-one"]
    assert ["token-one" in provider.requests[0], "token-two" in provider.requests[1]] == [True, True]


async def test_oauth_gives_up_where_the_second_is_rejected_too(provider: "ScriptedProvider") -> None:
    provider.script = [Answer(401)]
    async with OAuthOnlyAdapter(config(provider.url), {}, REF, tokens=Tokens()) as opened:
        with pytest.raises(AuthenticationError):
            await opened.test()
    assert len(provider.requests) == 2


async def test_a_body_is_sent_again_whole(provider: "ScriptedProvider") -> None:
    provider.script = [Answer(401), Answer()]
    async with OAuthOnlyAdapter(config(provider.url), {}, REF, tokens=Tokens()) as opened:
        await opened.http.request("GET", "/search", ANYTHING, json={"q": 1})
    assert ["content-length: 7" in head for head in provider.requests[:2]] == [True, True]


async def test_without_an_authorization_it_says_how_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match="run `unified connections authorize acme/demo`"):
        await OAuthOnlyAdapter(config("https://api.example.com"), {}, REF).connect()


@pytest.mark.parametrize("adapter", [DemoAdapter, HeaderAdapter, BearerAdapter, OAuthOnlyAdapter])
async def test_a_link_to_another_host_gets_no_credential(
    provider: "ScriptedProvider", other_provider: "ScriptedProvider", adapter: type[DemoAdapter]
) -> None:
    secrets = {"key": Secret("key_fake_1")}
    async with adapter(
        config(provider.url), secrets, REF, tokens=Tokens() if adapter is OAuthOnlyAdapter else None
    ) as one:
        own_port = provider.url.rpartition(":")[2]
        for link in (
            f"{other_provider.url}/next?page=2",
            f"https://127.0.0.1:{own_port}/next",
            f"http://localhost:{own_port}/next",
            "http://169.254.169.254/latest/meta-data",
            f"http://user@127.0.0.1.example.com:{own_port}/",
        ):
            with pytest.raises(ForbiddenHostError, match="no credential goes elsewhere"):
                await one.http.request("GET", link, ANYTHING)
        # A link to the same place is followed, and what looks like a host in a path is a path.
        await one.http.request("GET", f"{provider.url}/next?page=2", ANYTHING)
        await one.http.request("GET", f"//{other_provider.url.removeprefix('http://')}/next", ANYTHING)
    assert len(provider.requests) == 2
    assert other_provider.requests == []
