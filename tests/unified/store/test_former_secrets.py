"""Secrets that an earlier release stored are read and used after an upgrade: keys, OAuth authorizations, data keys."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from adapters.hubspot.adapter import HubSpotAdapter, HubSpotConfig
from tests.unified.store.test_upgrade import ENTRY, at_0001, bring_to
from tests.waiting import LIMIT_SECONDS
from unified.kit.factory import AdapterFactory
from unified.kit.oauth import TokenEndpoint, returned
from unified.kit.oauth_app import OAuthClient
from unified.kit.secrets import Secret
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.inbox.lookup import EndpointLookup
from unified.store.migrate import migrate
from unified.store.secrets import data_keys
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.server.roles import APP_ROLE
from unified.sync.access.authorization import AuthorizedConnections

__all__ = ["at_0001"]

ROWS = Path(__file__).with_name("secrets_of_0006.sql")
# Of 32 letters, as a Fernet key has 32 bytes.
MASTER_KEY = "QSBtYXN0ZXIga2V5IG9mIHRoZSB0ZXN0cywgZmFrZSE="
NEXT_MASTER_KEY = "VGhlIG5leHQgb25lIG9mIHRoZSB0ZXN0cywgZmFrZSE="
WORKSPACE = UUID("1188bcdc-d19f-40d6-adef-c958f2a4f85b")
STRIPE = UUID("6249209e-714d-4e5f-ae79-5745b0c78f38")
HUBSPOT = UUID("365988ec-d848-408a-8d60-8fa1e2c9d060")
ENDPOINT_PATH = "1tOcLBsGQn-eUUsmCGk1eblLYK1SHmDY"
# The second token that the stand-in gives; the first is the code.
REFRESH_TOKEN = "refresh-fake-000002"
ENTRIES = [ENTRY, ConnectorEntry("hubspot", "HubSpot", ("READ",), ("customers", "invoices"))]


@pytest.fixture
def upgraded(at_0001: str) -> str:
    """A superuser's URL of a database with secrets of revision 0006, brought up to this release."""
    bring_to(at_0001, "0006")
    with psycopg.connect(at_0001) as conn:
        conn.execute("INSERT INTO connectors VALUES ('hubspot', 'HubSpot', '{READ}', '{customers,invoices}')")
        conn.execute(f"SET ROLE {APP_ROLE}".encode())
        conn.execute("SELECT set_config('app.workspace_id', %s, true)", (str(WORKSPACE),))
        conn.execute(ROWS.read_bytes())
    migrate(at_0001, ENTRIES)
    return at_0001


@pytest.fixture
def sandbox() -> Iterator[tuple[str, HubSpotSandbox]]:
    """Stand-ins for the systems that the secrets are of: their URL, and HubSpot's."""
    hubspot = HubSpotSandbox(1, 1, 1)
    with SandboxServer(stripe=StripeSandbox(1, 1), hubspot=hubspot) as server:
        yield server.url, hubspot


def store(db: Database, *keys: str) -> CredentialStore:
    return CredentialStore(db, LocalKeyProvider(keys or [MASTER_KEY]))


def lead_to(url: str, connection: UUID, base_url: str) -> None:
    settings = Jsonb({"base_url": base_url, "allow_private_hosts": True})
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE connector_configs SET settings = %s WHERE id = %s", (settings, connection))


async def test_a_key_opens_the_account(upgraded: str, sandbox: tuple[str, HubSpotSandbox]) -> None:
    lead_to(upgraded, STRIPE, f"{sandbox[0]}/stripe")
    async with Database.open(upgraded) as db:
        factory = AdapterFactory(AuthorizedConnections(db, store(db), actor="test"))
        async with await factory.create(WORKSPACE, STRIPE, purpose="test") as adapter:
            assert adapter.credentials["api_key"].reveal() == "sk_test_fake_acme"
            assert (await adapter.test()).livemode is False


async def test_an_authorization_is_refreshed_and_opens_the_account(
    upgraded: str, sandbox: tuple[str, HubSpotSandbox]
) -> None:
    url, hubspot = sandbox
    lead_to(upgraded, HUBSPOT, f"{url}/hubspot")
    await grant(f"{url}/hubspot")
    async with Database.open(upgraded) as db:
        factory = AdapterFactory(AuthorizedConnections(db, store(db), actor="test"))
        async with await factory.create(WORKSPACE, HUBSPOT, purpose="test") as adapter:
            assert (await adapter.test()).id == str(hubspot.account().portal_id)
        assert hubspot.oauth.calls["refresh_token"] == 1  # the stored access token had run out
        # What it brought is stored in place of what the earlier release had stored, and as readable.
        revealed = await store(db).reveal(WORKSPACE, HUBSPOT, actor="test", purpose="test")
    assert revealed["client_secret"].reveal() == CLIENT_SECRET
    assert revealed["refresh_token"].reveal() not in ("", REFRESH_TOKEN)


async def test_a_webhooks_secret_is_found(upgraded: str) -> None:
    async with Database.open(upgraded) as db:
        endpoint = await EndpointLookup(db, store(db)).find("stripe", ENDPOINT_PATH)
    assert endpoint is not None
    assert [one.reveal() for one in endpoint.secrets] == ["whsec_fake_of_a_former_release"]


async def test_a_data_key_moves_to_the_next_master_key(upgraded: str) -> None:
    async with Database.open(upgraded) as db:
        both = LocalKeyProvider([NEXT_MASTER_KEY, MASTER_KEY])
        assert (await data_keys.rotate(db, both)).rewrapped == 1
        revealed = await store(db, NEXT_MASTER_KEY).reveal(WORKSPACE, STRIPE, actor="test", purpose="test")
    assert revealed["api_key"].reveal() == "sk_test_fake_acme"


async def grant(base_url: str) -> None:
    """A person's consent at the stand-in, of which the earlier release had kept the tokens."""
    config = HubSpotConfig(base_url=base_url, allow_private_hosts=True)
    app = OAuthClient(CLIENT_ID, Secret(CLIENT_SECRET))
    endpoint = TokenEndpoint(HubSpotAdapter, config, app, label="test")
    consent = endpoint.consent(REDIRECT_URI, "state")
    async with httpx.AsyncClient(timeout=LIMIT_SECONDS) as browser:
        location = (await browser.get(consent.url)).headers["location"]
    tokens = await endpoint.exchange(Secret(returned(location)["code"]), consent.verifier, REDIRECT_URI)
    assert tokens.refresh_token is not None
    assert tokens.refresh_token.reveal() == REFRESH_TOKEN
