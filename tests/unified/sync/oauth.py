"""A HubSpot connection that is authorized by OAuth against the stand-in, and what to ask of both."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from tests.waiting import LIMIT_SECONDS
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import AdapterFactory
from unified.kit.oauth import returned
from unified.kit.secrets import Secret
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.secrets.authorizations import Authorizations
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.access.authorization import AuthorizedConnections, ConnectionTokens
from unified.sync.access.consent import Authorized, Authorizer

OWN_APP = {"client_id": Secret(CLIENT_ID), "client_secret": Secret(CLIENT_SECRET)}
TOKEN_PATH = "/oauth/2026-03/token"


@dataclass
class Case:
    """One connection, its stand-in, and the store."""

    db: Database
    connection: Connection
    sandbox: HubSpotSandbox
    master_key: str

    @property
    def oauth(self) -> Any:
        return self.sandbox.oauth

    @property
    def refreshes(self) -> int:
        return int(self.oauth.calls["refresh_token"])

    @property
    def ref(self) -> ConnectionRef:
        return ConnectionRef(self.connection.id, self.connection.workspace_id, self.connection.key)

    @property
    def credentials(self) -> CredentialStore:
        return CredentialStore(self.db, LocalKeyProvider([self.master_key]))

    @property
    def authorizer(self) -> Authorizer:
        return Authorizer(self.db, self.credentials)

    @property
    def authorizations(self) -> Authorizations:
        return Authorizations(self.db, self.credentials, actor="test")

    @property
    def factory(self) -> AdapterFactory:
        return AdapterFactory(AuthorizedConnections(self.db, self.credentials, actor="test"))

    async def tokens(self) -> ConnectionTokens:
        """A refresher of its own, as each adapter has one."""
        stored = StoredConnections(Registry(self.db), self.credentials, actor="test")
        opened = await stored.open_connection(
            self.connection.workspace_id, self.connection.id, purpose="test"
        )
        return ConnectionTokens(self.db, self.credentials, opened, actor="test")

    async def authorize(self, own: Mapping[str, Secret] | None = OWN_APP) -> Authorized:
        """Consent, as a browser would."""
        begun = await self.authorizer.begin(self.connection, REDIRECT_URI, subject="ada", own=own)
        return await self.authorizer.complete(returned(await consented(begun.url)), subject="ada")

    async def secrets(self) -> dict[str, str]:
        found = await self.credentials.reveal(
            self.connection.workspace_id, self.connection.id, actor="test", purpose="test"
        )
        return {field: secret.reveal() for field, secret in found.items()}

    async def state(self) -> Connection:
        return await Registry(self.db).get_connection(self.connection.workspace_id, self.connection.id)

    async def works(self) -> bool:
        """Whether the provider takes what is stored, refreshed where need be."""
        adapter = await self.factory.create(self.connection.workspace_id, self.connection.id, purpose="test")
        async with adapter:
            return (await adapter.test()).id == str(self.sandbox.account().portal_id)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """As a superuser."""
        with psycopg.connect(self.db.url, autocommit=True) as conn:
            result = conn.execute(statement.encode(), values)
            return result.fetchall() if result.description else []

    def run_out(self) -> None:
        """The stored access token is due: for us, and at the provider."""
        self.oauth.forget_access_tokens()
        self.execute("DELETE FROM connector_credentials WHERE field = 'access_token'")

    def end_lease(self) -> None:
        self.execute("UPDATE authorizations SET leased_until = now() - interval '1 second'")


async def consented(url: str) -> str:
    """Where the stand-in's page sends the browser."""
    async with httpx.AsyncClient(timeout=LIMIT_SECONDS) as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def own_environment() -> dict[str, str]:
    """The environment without anything that concerns this project."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UNIFIED_")}
