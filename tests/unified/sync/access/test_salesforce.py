"""A Salesforce connection from its grant to its records: by the app's own right, by a signed JWT, by a person."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.conftest import execute
from tests.unified.sync.oauth import OWN_APP, Case
from unified.kit.errors import AdapterError, AuthenticationError
from unified.kit.secrets import Secret
from unified.sandbox.oauth.server import CLIENT_ID, REDIRECT_URI
from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.salesforce.fields import identifier
from unified.sandbox.server import Server
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces

USER = "integration@acme.example"


class Org(Case):
    """A connection ``acme/org``, without a grant at first."""

    async def works(self) -> bool:
        adapter = await self.factory.create(self.connection.workspace_id, self.connection.id, purpose="test")
        async with adapter:
            return (await adapter.test()).id == identifier("00D", 1)

    async def with_settings(self, **settings: Any) -> "Org":
        registry = Registry(self.db)
        await registry.update_connection(
            self.connection.workspace_id, self.connection.id, settings={**self.connection.settings, **settings},
            actor="test",
        )  # fmt: skip
        return replace(self, connection=await self.state())


@pytest_asyncio.fixture
async def org(database: Database) -> AsyncIterator[Org]:
    sandbox = SalesforceSandbox(Account=3, Contact=3, Invoice=0)
    with Server(sandbox) as server:
        execute(
            database.url,
            "INSERT INTO connectors (name, display_name, capabilities, streams) "
            "VALUES ('salesforce', 'Salesforce', '{READ}', '{accounts}') ON CONFLICT DO NOTHING",
        )
        workspace = await workspaces.create(database, "acme")
        settings = {"base_url": f"{server.url}/salesforce", "allow_private_hosts": True, "retry_delay": 0}
        connection = await Registry(database).add_connection(workspace.id, "salesforce", "org", settings)
        made: Any = Org(database, connection, sandbox, generate_key())  # type: ignore[arg-type]
        yield made


async def test_client_credentials_open_the_org_and_no_refresh_token_is_kept(org: Org) -> None:
    await org.authorizer.by_credentials(org.connection, subject="ada", own=OWN_APP)
    assert await org.works()
    assert "refresh_token" not in await org.secrets()


async def test_a_session_that_ended_is_replaced_and_the_request_sent_again(org: Org) -> None:
    """No answer says how long a token lasts: its end is a 401."""
    await org.authorizer.by_credentials(org.connection, subject="ada", own=OWN_APP)
    org.oauth.forget_access_tokens()
    assert await org.works()
    assert org.oauth.calls["client_credentials"] == 2


async def test_a_signed_jwt_acts_for_the_user_that_the_settings_name(org: Org) -> None:
    key = rsa.generate_private_key(65_537, 2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    org.oauth.keys[CLIENT_ID] = public.decode()
    org.oauth.users.add(USER)
    org.oauth.audience = org.connection.settings["base_url"]
    own = {"client_id": Secret(CLIENT_ID), "client_secret": Secret(pem)}
    with pytest.raises(AdapterError, match="user hasn't approved this consumer"):
        await org.authorizer.by_credentials(org.connection, subject="ada", own=own)
    org = await org.with_settings(username=USER)
    await org.authorizer.by_credentials(org.connection, subject="ada", own=own)
    assert await org.works()


async def test_a_person_consents_with_pkce(org: Org) -> None:
    begun = await org.authorizer.begin(org.connection, REDIRECT_URI, subject="ada", own=OWN_APP)
    assert "code_challenge_method=S256" in begun.url
    assert "/services/oauth2/authorize?" in begun.url
    await org.authorize()
    assert await org.works()
    org.run_out()
    before = await org.secrets()
    assert await org.works()
    assert (await org.secrets())["refresh_token"] != before["refresh_token"]


async def test_the_address_in_the_grant_becomes_the_connection_s(org: Org) -> None:
    org.oauth.instance_url = org.connection.settings["base_url"].replace("127.0.0.1", "localhost")
    await org.authorizer.by_credentials(org.connection, subject="ada", own=OWN_APP)
    assert (await org.state()).settings["base_url"] == org.oauth.instance_url


async def test_a_used_refresh_token_is_never_sent_again(org: Org) -> None:
    """It would end the grant, the newest tokens included."""
    await org.authorize()
    org.run_out()
    assert await org.works()
    assert "former_refresh_token" in await org.secrets()
    org.oauth.revoke_all()
    org.run_out()
    with pytest.raises(AuthenticationError, match="no longer honours its authorization"):
        await org.works()
    assert org.refreshes == 2
    assert (await org.state()).needs_reauth
