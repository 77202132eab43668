"""From a person's consent, or an app's own right, to a connection that is authorized by OAuth.

Shared by the command line and the API, which differ in how a browser gets away and comes back. What keeps the tokens
alive afterwards is ``unified.sync.access.authorization``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from authlib.common.security import generate_token  # type: ignore[import-untyped]

from unified.kit.declarations import Account, ConnectionRef, CredentialKind, GrantType
from unified.kit.errors import AuthenticationError, ConfigurationError
from unified.kit.factory import build_adapter, config_of
from unified.kit.oauth import TokenEndpoint, Tokens, declared
from unified.kit.oauth_app import client_of
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry, presentable
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.secrets.authorization_rows import REFRESH_TOKEN
from unified.store.secrets.authorizations import Authorizations
from unified.store.secrets.consents import Consent, Consents, state_for
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.access.authorization import pair_of
from unified.sync.access.trials import account_of

_STATE_LENGTH = 43  # 256 bits


@dataclass(frozen=True, slots=True)
class Begun:
    """A consent that waits for a person.

    Attributes:
        url: Where to send the browser.
        state: Comes back with it.
        expires_at: Until when it may come back.
    """

    url: str = field(repr=False)  # the state is in it
    state: Secret
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Authorized:
    """A connection that is authorized now.

    Attributes:
        connection: Which one.
        account: Whose account it opens; None where it may not be used yet, and so was not tried.
    """

    connection: ConnectionRef
    account: Account | None


class _Fixed:
    """One token, as a :class:`unified.kit.http.authentication.TokenSource`: for the first look at what it opens."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def current(self) -> Secret:
        return self._token

    async def renewed(self, rejected: Secret) -> Secret:  # noqa: ARG002 - there is no other one
        return self._token


class Authorizer:
    """Authorizes connections by OAuth. A ``subject`` is who does it; the audit log shows it."""

    def __init__(self, db: Database, credentials: CredentialStore) -> None:
        """Work on ``db`` and ``credentials``."""
        self._db = db
        self._credentials = credentials

    @staticmethod
    def new_secret() -> Secret:
        """256 random bits, for a browser to show when it comes back."""
        return Secret(generate_token(_STATE_LENGTH))

    async def begin(
        self,
        connection: Connection,
        redirect_uri: str,
        *,
        subject: str,
        own: Mapping[str, Secret] | None = None,
        browser: Secret | None = None,
    ) -> Begun:
        """Make the URL on which a person consents.

        Args:
            connection: What shall be authorized.
            redirect_uri: Where the browser comes back to; the OAuth app has to know it.
            subject: Who begins.
            own: The connection's own OAuth app, where it is not stored.
            browser: What the browser will show when it comes back, where it is not the subject that brings it.

        Raises:
            ConfigurationError: If the connector has no OAuth or there is no app.
        """
        declared(get_adapter(connection.connector)).choose("authorization_code", connection.connector)
        endpoint, client = await self._endpoint(connection, own or {}, subject)
        state = state_for(connection.workspace_id, self.new_secret().reveal())
        page = endpoint.consent(redirect_uri, state.reveal())
        consent = Consent(connection.ref, subject, redirect_uri, page.verifier, client)
        expires_at = await Consents(self._db, self._credentials).begin(consent, state, browser)
        return Begun(page.url, state, expires_at)

    async def complete(
        self,
        returned: Mapping[str, str],
        *,
        subject: str | None = None,
        browser: Secret | None = None,
        connection_id: UUID | None = None,
    ) -> Authorized:
        """Turn what came back from the provider into a connection that is authorized.

        Args:
            returned: The query of the URL that the browser was sent to (:func:`unified.kit.oauth.returned`).
            subject: Who brings it, where that was proven; has to be who began.
            browser: What the browser shows; stands for the subject where that could not be proven.
            connection_id: What it has to be for, where that is known.

        Raises:
            ConsentError: If nobody waits for it.
            AuthenticationError: If the person did not consent.
            ProviderError: If the provider does not give tokens, or what they open can't be read.
            OtherAccountError: If the connection's records come from another account.
        """
        if not returned.get("state"):
            raise ConfigurationError(
                "the URL has no state, so no provider has led a browser there; paste the address where it ended"
            )
        consents = Consents(self._db, self._credentials)
        consent = await consents.end(
            Secret(returned["state"]), subject=subject, browser=browser, connection_id=connection_id
        )
        ref = consent.connection
        if not returned.get("code"):
            reason = presentable(
                f"{returned.get('error', 'no code')} {returned.get('error_description', '')}"
            )
            raise AuthenticationError(
                f"{ref.key} was not authorized: the provider says {reason}; begin again",
                code=returned.get("error"),
            )
        connection = await Registry(self._db).get_connection(ref.workspace_id, ref.id)
        endpoint, client = await self._endpoint(connection, consent.client, consent.subject)
        asked_at = (await self._db.clock())()
        tokens = await endpoint.exchange(Secret(returned["code"]), consent.verifier, consent.redirect_uri)
        settings = await endpoint.settings(tokens, returned)
        return await self._keep(
            connection, "authorization_code", tokens, settings, asked_at, client, consent.subject
        )

    async def by_credentials(
        self, connection: Connection, *, subject: str, own: Mapping[str, Secret] | None = None
    ) -> Authorized:
        """Authorize a connection by the app's own right (client credentials).

        Raises:
            ConfigurationError: If the connector does not have that, or there is no app.
            ProviderError: If the provider refuses.
        """
        declared(get_adapter(connection.connector)).choose("client_credentials", connection.connector)
        endpoint, client = await self._endpoint(connection, own or {}, subject)
        asked_at = (await self._db.clock())()
        tokens = await endpoint.client_credentials()
        settings = await endpoint.settings(tokens, {})
        return await self._keep(connection, "client_credentials", tokens, settings, asked_at, client, subject)

    async def revoke(self, connection: Connection, *, subject: str) -> None:
        """Give the grant back to the provider, where it takes it, and forget the tokens.

        Raises:
            CredentialNotFoundError: If there are no tokens.
            ConfigurationError: If the connector has no OAuth or there is no app.
            ProviderError: If the provider fails; the tokens stay.
        """
        endpoint, _ = await self._endpoint(connection, {}, subject)
        stored = await self._stored(connection, subject)
        if token := stored.get(REFRESH_TOKEN):
            await endpoint.revoke(token)
        await self._credentials.delete(connection.workspace_id, connection.id, actor=subject)

    async def _endpoint(
        self, connection: Connection, own: Mapping[str, Secret], subject: str
    ) -> tuple[TokenEndpoint, dict[str, Secret]]:
        """The provider's endpoint, and the connection's own app if it has one."""
        adapter = get_adapter(connection.connector)
        declared(adapter)
        client = {
            name: secret
            for name, secret in ((await self._stored(connection, subject)) | dict(own)).items()
            if name in ("client_id", "client_secret")
        }
        config = config_of(connection.connector, connection.settings, connection.ref)
        label = f"{adapter.name} connection {connection.key}"
        return TokenEndpoint(adapter, config, client_of(adapter, config, client), label=label), client

    async def _stored(self, connection: Connection, subject: str) -> dict[str, Secret]:
        """The connection's secrets, if they are OAuth's."""
        infos = await self._credentials.describe(connection.workspace_id, connection.id)
        if not any(info.kind == CredentialKind.OAUTH_TOKEN for info in infos):
            return {}
        released = await self._credentials.release(
            connection.workspace_id, connection.id, actor=subject, purpose="authorize"
        )
        return released.secrets

    async def _keep(
        self,
        connection: Connection,
        grant_type: GrantType,
        tokens: Tokens,
        settings: Mapping[str, str],
        asked_at: datetime,
        client: Mapping[str, Secret],
        subject: str,
    ) -> Authorized:
        """See whose account the tokens open, and store them, then the settings that came with them."""
        ref = connection.ref
        granted = {**connection.settings, **settings}
        account = None
        if connection.approval == "approved":
            adapter = build_adapter(
                connection.connector, granted, {}, ref, tokens=_Fixed(tokens.access_token)
            )
            account = await account_of(adapter)
        authorizations = Authorizations(self._db, self._credentials, actor=subject)
        await authorizations.authorize(
            ref,
            grant_type,
            pair_of(tokens, asked_at),
            client=client,
            account_id=account.id if account else None,
        )
        if granted != connection.settings:
            await Registry(self._db).update_connection(
                ref.workspace_id, ref.id, settings=granted, actor=subject
            )
        return Authorized(ref, account)
