"""The token endpoint's calls over real HTTP: grants without a person, and what a grant brings besides tokens."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unified.kit.http.test_authentication import DemoAdapter
from unified.kit.declarations import AdapterConfig, Assertion, CredentialKind, OAuth, Tenants
from unified.kit.errors import ConfigurationError, ProviderError, UnavailableError
from unified.kit.oauth import TokenEndpoint, Tokens, returned
from unified.kit.oauth_app import OAuthClient
from unified.kit.secrets import MASK, Secret

KEY = rsa.generate_private_key(65_537, 2_048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
SECRET = "secret-fake-1"
TOKEN = {"access_token": "token-fake-1", "expires_in": "1800"}


@dataclass
class Provider:
    """Answers each path with its JSON, and notes what came: request line and headers, and the form."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=lambda: {"/token": TOKEN})
    status: int = 200
    came: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        form = parse_qs((await reader.readexactly(int(headers.get("content-length", 0)))).decode())
        self.came.append((head, {name: values[0] for name, values in form.items()}))
        body = json.dumps(self.answers[head.split()[1]]).encode()
        lines = [
            f"HTTP/1.1 {self.status} X",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


class CompanyConfig(AdapterConfig):
    company: str | None = None
    run_as: str | None = None


def endpoint(provider: Provider, declared: OAuth, *, secret: str = SECRET, **settings: Any) -> TokenEndpoint:
    class Adapter(DemoAdapter):
        credential_kind = CredentialKind.OAUTH_TOKEN
        config_model = CompanyConfig
        oauth = declared

    config = CompanyConfig(base_url=provider.url, allow_private_hosts=True, **settings)
    return TokenEndpoint(
        Adapter, config, OAuthClient("client-fake", Secret(secret)), label="demo connection acme/x"
    )


JWT = OAuth("/token", grants=("client_credentials",), assertion=Assertion(subject_setting="run_as"))


async def test_an_app_with_a_private_key_signs_a_jwt_and_sends_no_secret(provider: Provider) -> None:
    tokens = await endpoint(provider, JWT, secret=PEM, run_as="ada@example.com").client_credentials()
    assert (tokens.access_token.reveal(), tokens.expires_in, tokens.refresh_token) == (
        "token-fake-1",
        1800,
        None,
    )
    ((head, form),) = provider.came
    assert set(form) == {"grant_type", "assertion"}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert "authorization" not in head.lower()
    claims = jwt.decode(
        form["assertion"], KEY.public_key(), ["RS256"], audience=f"{provider.url}/token", issuer="client-fake"
    )
    assert claims["sub"] == "ada@example.com"
    assert 0 < claims["exp"] - claims["iat"] <= 180


async def test_each_jwt_is_another_and_its_audience_is_declared(provider: Provider) -> None:
    declared = OAuth("/token", assertion=Assertion(audience="https://login.example.com"))
    one = endpoint(provider, declared, secret=PEM)
    await one.client_credentials()
    await one.client_credentials()
    claims = [
        jwt.decode(form["assertion"], KEY.public_key(), ["RS256"], audience="https://login.example.com")
        for _, form in provider.came
    ]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert claims[0]["sub"] == claims[0]["iss"] == "client-fake"


async def test_an_app_with_a_shared_secret_shows_that(provider: Provider) -> None:
    await endpoint(provider, JWT).client_credentials()
    ((head, form),) = provider.came
    assert form == {"grant_type": "client_credentials"}
    assert "authorization: basic" in head.lower()


async def test_a_key_that_can_not_sign_is_named_before_anything_is_sent(provider: Provider) -> None:
    broken = "-----BEGIN PRIVATE KEY-----\ncanary-fake\n-----END PRIVATE KEY-----"
    with pytest.raises(ConfigurationError, match="not a private key for RS256") as caught:
        await endpoint(provider, JWT, secret=broken).client_credentials()
    assert "canary" not in str(caught.value)
    assert provider.came == []


async def test_a_jwt_that_is_echoed_is_shown_nowhere(provider: Provider) -> None:
    provider.status = 400
    provider.answers["/token"] = {"error": "invalid_grant"}
    one = endpoint(provider, JWT, secret=PEM)
    signed = one._signed(Assertion())
    one._signed = lambda _: signed  # type: ignore[method-assign]
    provider.answers["/token"]["error_description"] = f"no user for {signed.reveal()}"
    with pytest.raises(ProviderError, match="invalid_grant") as caught:
        await one.client_credentials()
    assert caught.value.code == "invalid_grant"
    assert signed.reveal().split(".")[2] not in str(caught.value)
    assert MASK in str(caught.value)


@pytest.mark.parametrize("said", [["token"], {}, {"access_token": 7}, {"access_token": ""}, None])
async def test_what_is_not_a_token_is_an_error(provider: Provider, said: Any) -> None:
    provider.answers["/token"] = said
    with pytest.raises(UnavailableError, match="demo connection acme/x"):
        await endpoint(provider, JWT).client_credentials()


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ({"refresh_token": "r", "x_refresh_token_expires_in": 8_640_000}, 100),
        ({"refresh_token": "r"}, 60),
        ({}, None),
    ],
)
async def test_how_long_a_refresh_token_lives_unused_is_said_or_declared(
    provider: Provider, said: dict[str, Any], days: int | None
) -> None:
    provider.answers["/token"] = {**TOKEN, **said}
    tokens = await endpoint(provider, OAuth("/token", refresh_unused=timedelta(days=60))).refresh(
        Secret("r0")
    )
    assert tokens.refresh_expires_in == (None if days is None else days * 86_400)


async def test_what_an_answer_and_a_redirect_bring_becomes_settings(provider: Provider) -> None:
    declared = OAuth(
        "/token", answer_settings={"instance_url": "base_url"}, redirect_settings={"realmId": "company"}
    )
    provider.answers["/token"] = {**TOKEN, "instance_url": "https://acme.example.com", "scope": "all"}
    one = endpoint(provider, declared)
    back = returned("https://us.example.com/cb?code=c&state=s&realmId=9341452&realm=x")
    tokens = await one.exchange(Secret(back["code"]), Secret("verifier"), "https://us.example.com/cb")
    assert await one.settings(tokens, back) == {"base_url": "https://acme.example.com", "company": "9341452"}
    assert await one.settings(Tokens(Secret("t")), {}) == {}


TENANTS = OAuth("/token", tenants=Tenants("/connections", "company", id="tenantId", name="tenantName"))
ACME = {"id": "x", "tenantId": "t-1", "tenantName": "Acme"}
GLOBEX = {"id": "y", "tenantId": "t-2", "tenantName": "Globex"}


@pytest.mark.parametrize(
    ("listed", "company", "found"),
    [([ACME], None, "t-1"), ([ACME, GLOBEX], "t-2", "t-2"), ([ACME], "t-1", "t-1")],
)
async def test_the_company_that_a_grant_opens_is_asked_for(
    provider: Provider, listed: list[Any], company: str | None, found: str
) -> None:
    provider.answers["/connections"] = listed
    one = endpoint(provider, TENANTS, company=company)
    assert await one.settings(Tokens(Secret("token-fake-1")), {}) == {"company": found}
    assert "authorization: Bearer token-fake-1" in provider.came[-1][0]


@pytest.mark.parametrize(("listed", "company"), [([ACME, GLOBEX], None), ([ACME], "t-9"), ([], None)])
async def test_a_grant_that_leaves_the_company_open_says_what_to_do(
    provider: Provider, listed: list[Any], company: str | None
) -> None:
    provider.answers["/connections"] = listed
    told = r"t-1 \(Acme\).*set company to the one that is meant" if listed else "opens none; set company"
    with pytest.raises(ConfigurationError, match=told):
        await endpoint(provider, TENANTS, company=company).settings(Tokens(Secret("token-fake-1")), {})
