"""OAuth 2.0 as a client: the calls to the token endpoint that a connector declares.

Which app asks is in ``oauth_app``. Here is nothing that lasts: who refreshes when is
``unified.sync.access.authorization``'s, where tokens are kept the store's.

Calls go through :class:`unified.kit.http.client.HttpClient` and not through authlib's session: it has the guard against
private addresses, follows no redirect and puts no secret into an error, whereas a session holds tokens and refreshes
them by itself, which only one process at a time may do. State, PKCE and the authorization URL are authlib's.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit
from uuid import uuid4

import msgspec

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig, Assertion, OAuth, Tenants
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    ProviderError,
    RequestRefusedError,
    UnavailableError,
    UndecidedError,
)
from unified.kit.http.authentication import HeaderAuthentication, basic_authentication
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import PRESENT, Meaning, Refusals
from unified.kit.oauth_app import OAuthClient, usual_base_url
from unified.kit.secrets import Secret

# A call that has taken so long is given up; the lease of a refresh is longer than this.
CALL_SECONDS = 40.0

# Tokens and lists of companies take a few kilobytes.
_ANSWER_BYTES = 2**18

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523 section 2.1
_ASSERTION_SECONDS = 180  # Salesforce takes three minutes at most, others more

_VERIFIER_LENGTH = 64  # RFC 7636 section 4.1: 43 to 128


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint answered.

    Attributes:
        access_token: For requests.
        expires_in: Seconds for which it is good; None where the provider does not say.
        refresh_token: For the next access token. None leaves the former in force (RFC 6749 section 6).
        refresh_expires_in: Seconds for which that is good; None where the provider does not say.
        settings: What else it answered that becomes a setting of the connection, by the setting's name.
    """

    access_token: Secret
    expires_in: float | None = None
    refresh_token: Secret | None = None
    refresh_expires_in: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: float | None = None
    x_refresh_token_expires_in: float | None = None  # Intuit's name for it


_TENANTS = msgspec.json.Decoder(list[dict[str, Any]])
_ANYTHING = msgspec.json.Decoder()
# The standard's word, and Slack's (https://docs.slack.dev/reference/methods/oauth.v2.access#errors).
_OF_THE_APP = ("invalid_client", "bad_client_secret", "invalid_client_id")
# RFC 6749 section 5.2; some send it with 200 (Slack, GitHub).
_REFUSALS = Refusals(
    codes_at=("error",),
    reasons_at=("error_description",),
    codes=dict.fromkeys(
        _OF_THE_APP,
        Meaning(AuthenticationError, note="; client id and client secret are not those of one OAuth app"),
    ),
    fault_at=("error", PRESENT),
)
_GONE = "invalid_grant"


def declared(adapter: type[BaseAdapter[Any]]) -> OAuth:
    """What a connector declares.

    Raises:
        ConfigurationError: If it has no OAuth.
    """
    if adapter.oauth is None:
        raise ConfigurationError(
            f"{adapter.name} has no OAuth; its connections need a {adapter.credential_kind}"
        )
    return adapter.oauth


@dataclass(frozen=True, slots=True)
class Consent:
    """What is needed to send a person away and to know them when they come back.

    Attributes:
        url: Where the browser goes.
        verifier: Proves at the token endpoint that it is the same client that comes back (RFC 7636).
    """

    url: str = field(repr=False)  # the state is in it
    verifier: Secret


class TokenEndpoint:
    """A provider's OAuth endpoints, for one app and one connection's settings."""

    def __init__(
        self, adapter: type[BaseAdapter[Any]], config: AdapterConfig, client: OAuthClient, *, label: str
    ) -> None:
        """Nothing is sent yet.

        Args:
            adapter: Declares the endpoints.
            config: The connection's settings.
            client: Which app asks.
            label: Names the connection in errors.

        Raises:
            ConfigurationError: If the connector has no OAuth.
        """
        self._oauth = declared(adapter)
        self._usual = usual_base_url(adapter)
        self._config = config
        self._client = client
        self._label = label

    def consent(self, redirect_uri: str, state: str) -> Consent:
        """Where a person consents, with a new PKCE verifier where the provider takes one.

        Args:
            redirect_uri: Where the browser comes back to; the app has to know it.
            state: Comes back with it.

        Raises:
            ConfigurationError: If nobody can be asked.
        """
        if self._oauth.authorize_url is None:
            raise ConfigurationError(f"{self._label}: this connector declares no page on which to consent")
        # Each sync imports this module; who asks for consent is a person.
        from authlib.common.security import generate_token  # type: ignore[import-untyped]  # noqa: PLC0415
        from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]  # noqa: PLC0415
            prepare_grant_uri,
        )
        from authlib.oauth2.rfc7636 import (  # type: ignore[import-untyped]  # noqa: PLC0415
            create_s256_code_challenge,
        )

        verifier = generate_token(_VERIFIER_LENGTH)
        proof = {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        url = prepare_grant_uri(
            self._url(self._oauth.authorize_url),
            self._client.id,
            "code",
            redirect_uri=redirect_uri,
            scope=self._oauth.scope_separator.join(self._scopes()) or None,
            state=state,
            **(proof if self._oauth.pkce else {}),
            **self._oauth.authorize_params,
        )
        return Consent(url, Secret(verifier))

    def _scopes(self) -> list[str]:
        """What is asked for: what the connector declares, and what the connection's settings add."""
        setting = self._oauth.scopes_setting
        further = getattr(self._config, setting, None) if setting else None
        named = [one.strip() for one in (further or "").split(",")]
        return list(dict.fromkeys([*self._oauth.scopes, *filter(None, named)]))

    async def exchange(self, code: Secret, verifier: Secret, redirect_uri: str) -> Tokens:
        """Turn a code into tokens (RFC 6749 section 4.1.3).

        Raises:
            ProviderError: If the provider does not give any; ``code`` says why (section 5.2).
        """
        proof = {"code_verifier": verifier.reveal()} if self._oauth.pkce else {}
        form = {"code": code.reveal(), "redirect_uri": redirect_uri, **proof}
        return await self._ask("authorization_code", form, [code, verifier])

    async def refresh(self, refresh_token: Secret) -> Tokens:
        """Turn a refresh token into new tokens (section 6). Sent once: a second use may be taken for theft.

        Raises:
            ProviderError: If the provider does not give any; its ``code`` is ``invalid_grant`` where this token will
                never work again.
        """
        return await self._ask("refresh_token", {"refresh_token": refresh_token.reveal()}, [refresh_token])

    async def client_credentials(self) -> Tokens:
        """Tokens by the app's own right: by its secret (section 4.4), or by a JWT that it signs (RFC 7523).

        Raises:
            ConfigurationError: If the app's secret is a private key that the JWT can't be signed with.
            ProviderError: If the provider does not give any.
        """
        if self._oauth.assertion is not None and self._has_key:
            assertion = self._signed(self._oauth.assertion)
            return await self._ask(_JWT_BEARER, {"assertion": assertion.reveal()}, [assertion])
        # No refresh token comes with this grant (section 4.4.3), and a provider may refuse to be asked for one.
        scopes = [scope for scope in self._oauth.scopes if scope != "offline_access"]
        scope = {"scope": " ".join(scopes)} if scopes else {}
        return await self._ask("client_credentials", scope, [])

    async def settings(self, tokens: Tokens, returned: Mapping[str, str]) -> dict[str, str]:
        """What a grant says about the connection besides its tokens: where its API is, whose company it opens.

        Args:
            tokens: What the token endpoint answered.
            returned: The query of the URL that the browser came back to; empty without a person.

        Returns:
            Settings by name, of which only some may differ from what the connection has.

        Raises:
            ConfigurationError: If the grant opens several companies and the connection names none of them.
            ProviderError: If the provider does not say which.
        """
        found = dict(tokens.settings)
        for parameter, setting in self._oauth.redirect_settings.items():
            if returned.get(parameter):
                found[setting] = returned[parameter]
        if self._oauth.tenants is not None:
            found[self._oauth.tenants.setting] = await self._tenant(self._oauth.tenants, tokens.access_token)
        return found

    async def _tenant(self, tenants: Tenants, token: Secret) -> str:
        value = f"Bearer {token.reveal()}"
        auth = HeaderAuthentication("authorization", value, secrets=[token.reveal()], label=self._label)
        listed = await self._call("GET", tenants.url, _TENANTS, auth, {}, [token])
        names = {
            str(one[tenants.id]): str(one.get(tenants.name, "")) for one in listed if one.get(tenants.id)
        }
        wanted = getattr(self._config, tenants.setting, None)
        if wanted in names or (not wanted and len(names) == 1):
            return str(wanted or next(iter(names)))
        open_ones = ", ".join(f"{one} ({name})" for one, name in sorted(names.items())) or "none"
        raise ConfigurationError(
            f"{self._label}: the grant opens {open_ones}; set {tenants.setting} to the one that is meant and authorize "
            "again"
        )

    @property
    def _has_key(self) -> bool:
        return self._client.secret.reveal().startswith("-----BEGIN")  # PEM, RFC 7468

    def _signed(self, assertion: Assertion) -> Secret:
        import jwt  # noqa: PLC0415 - few systems take one, and it takes a tenth of a sync's start

        now = int(time.time())
        subject = assertion.subject_setting and getattr(self._config, assertion.subject_setting, None)
        claims = {
            "iss": self._client.id,
            "sub": subject or self._client.id,
            "aud": self._audience(assertion.audience),
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
            "jti": str(uuid4()),
        }
        try:
            return Secret(jwt.encode(claims, self._client.secret.reveal(), assertion.algorithm))
        except (ValueError, TypeError, jwt.PyJWTError):
            raise ConfigurationError(
                f"{self._label}: its client_secret is not a private key for {assertion.algorithm}; add it again in PEM"
            ) from None

    def _audience(self, declared: str | None) -> str:
        """Whom a signed JWT is for; see :class:`Assertion`."""
        if declared is None:
            return self._url(self._oauth.token_url)
        return self._url(declared).rstrip("/") if declared.startswith("/") else declared

    async def revoke(self, refresh_token: Secret) -> None:
        """Give a refresh token back (RFC 7009), where the provider takes it.

        Raises:
            ProviderError: If the provider fails.
        """
        if self._oauth.revoke_url is None:
            return
        form = {"token": refresh_token.reveal(), "token_type_hint": "refresh_token"}
        try:
            await self._post(self._oauth.revoke_url, form, _ANYTHING, [refresh_token])
        except RequestRefusedError as error:
            # What the provider does not know any more is as good as revoked (section 2.2).
            if error.code not in (_GONE, "invalid_token"):
                raise

    async def _ask(self, grant: str, form: Mapping[str, str], sent: Collection[Secret]) -> Tokens:
        try:
            said = await self._post(self._oauth.token_url, {"grant_type": grant, **form}, _ANYTHING, sent)
        except ProviderError as error:
            if error.code in self._oauth.ended_by:
                error.code = _GONE
            raise
        try:
            answer = msgspec.convert(said, _Answer, strict=False)
        except msgspec.ValidationError:
            raise UndecidedError(
                f"{self._label}: the provider answered with something that is not a token; whether it gave one is open"
            ) from None
        settings = {
            setting: str(said[name])
            for name, setting in self._oauth.answer_settings.items()
            if said.get(name)
        }
        return Tokens(
            _secret(answer.access_token, self._label),
            answer.expires_in,
            Secret(answer.refresh_token) if answer.refresh_token else None,
            self._life_of_refresh(answer),
            settings,
        )

    def _life_of_refresh(self, answer: _Answer) -> float | None:
        """Seconds for which a new refresh token is good unless it is used: as the answer says, or as is known."""
        stated = answer.refresh_token_expires_in or answer.x_refresh_token_expires_in
        if stated is None and answer.refresh_token and self._oauth.refresh_unused:
            return self._oauth.refresh_unused.total_seconds()
        return stated

    async def _post(
        self,
        url: str,
        form: Mapping[str, str],
        decoder: Any,
        sent: Collection[Secret],
    ) -> Any:
        app = (self._client.id, self._client.secret.reveal())
        auth = None
        if self._has_key:
            pass  # a JWT says who asks (RFC 7523 section 3.1), and a private key is sent to nobody
        elif self._oauth.client_authentication == "client_secret_basic":
            auth = basic_authentication(*map(quote_plus, app), label=self._label)
        else:
            form = {**form, "client_id": app[0], "client_secret": app[1]}
        return await self._call("POST", url, decoder, auth, form, [self._client.secret, *sent])

    async def _call(
        self,
        method: str,
        url: str,
        decoder: Any,
        auth: HeaderAuthentication | None,
        form: Mapping[str, str],
        secrets: Collection[Secret],
    ) -> Any:
        target = urlsplit(self._url(url))
        config = AdapterConfig(
            base_url=f"{target.scheme}://{target.netloc}",
            timeout=self._config.timeout,
            retry_count=0,
            allow_private_hosts=self._config.allow_private_hosts,
        )
        endpoint = HttpClient(
            config,
            label=self._label,
            auth=auth,
            limits={"default": RateLimit(1e9)},
            refusals=_REFUSALS,
            most_bytes=_ANSWER_BYTES,
        )
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await endpoint.request(
                    method,
                    target.path,
                    decoder,
                    form=form or None,
                    effect="once" if form else "none",
                    secrets=secrets,
                )
        except TimeoutError:
            raise UnavailableError(
                f"{self._label}: {target.path} has not answered in {CALL_SECONDS:.0f} s; is the provider slow?"
            ) from None
        finally:
            await endpoint.aclose()

    def _url(self, declared_url: str) -> str:
        """Where an endpoint is for this connection; see :class:`OAuth`."""
        if declared_url.startswith("/") or (self._usual and self._config.base_url != self._usual):
            return self._config.base_url.rstrip("/") + urlsplit(declared_url).path
        return declared_url


def returned(redirected_url: str) -> dict[str, str]:
    """What a provider says in the URL that it sends the browser back to: ``code``, ``state``, ``error`` ….

    Each parameter once; of one that comes twice, neither counts (RFC 6749 section 3.1).
    """
    query = parse_qs(urlsplit(redirected_url.strip()).query)
    return {name: values[0] for name, values in query.items() if len(values) == 1}


def _secret(value: str, label: str) -> Secret:
    if not value:
        raise UnavailableError(f"{label}: the provider answered with an empty access token; try again")
    return Secret(value)
