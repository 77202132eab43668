"""How a document says that its requests prove who sends them, and what that is in the kit's terms.

Secrets are named here and nowhere else: no expression of a document can reach one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unified.kit.declarations import (
    Assertion,
    CredentialField,
    CredentialKind,
    GrantType,
    KeyPlace,
    OAuth,
    Tenants,
)
from unified.kit.document.parts import Keys, Name, Parameter, Path, Said, Text, check_expressions

LOGIN_SCOPE = ("secrets", "settings")
"""What the expressions of a login may name; nowhere else is a secret among it."""


class Secret(Said):
    """What a connection proves itself by."""

    name: Name = "api_key"
    label: Annotated[str, Field(min_length=1, max_length=100)]
    hint: Text


class NoAuth(Said):
    """Nothing: the API is open to everybody."""

    kind: Literal["none"]


class KeyAuth(Said):
    """A key in a header, in the query or the body, or as the user of Basic without a password."""

    kind: Literal["key"]
    secret: Secret
    place: Literal["header", "query", "basic_user", "body"] = "header"
    name: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{1,60}$")] = Field(
        default="authorization", description="Of the header, of the query's parameter or of the body's field."
    )
    prefix: Annotated[str, Field(max_length=30, pattern="^[ -~]*$")] | None = Field(
        default=None,
        description="What stands before the key in a header: `Token `. Without it, `Bearer ` in `authorization`, and "
        "nothing elsewhere.",
    )


class BearerAuth(Said):
    """`Authorization: Bearer …`."""

    kind: Literal["bearer"]
    secret: Secret


class BasicAuth(Said):
    """`Authorization: Basic …` of two secrets."""

    kind: Literal["basic"]
    user: Secret
    password: Secret


class Signed(Said):
    """A JWT that the app signs with its private key, instead of a shared secret (RFC 7523 section 2.1)."""

    audience: Text | None = Field(
        default=None, description="Whom it is for; the token URL where it is left out, `/` for the base URL."
    )
    subject_setting: Name | None = Field(
        default=None, description="The setting that names the user to act for."
    )
    algorithm: Literal["RS256", "ES256"] = "RS256"


Endpoint = Annotated[
    str,
    Field(
        pattern="^(https://|/)",
        max_length=300,
        description="On one of the document's hosts, or a path below the base URL.",
    ),
]


class Companies(Said):
    """Where the provider lists the companies or sites that a grant opens; a connection is to one of them."""

    url: Endpoint
    setting: Name = Field(
        description="Takes the id of the one that is meant; authorizing fills it in where it is the only one."
    )
    id: Annotated[str, Field(min_length=1, max_length=60)] = "id"
    name: Annotated[str, Field(min_length=1, max_length=60)] = "name"


class OAuthAuth(Said):
    """OAuth 2.0: a person consents, or the app proves who it is; access tokens are refreshed as they run out."""

    kind: Literal["oauth"]
    token_url: Endpoint
    authorize_url: Endpoint | None = Field(default=None, description="Where a person consents.")
    revoke_url: Endpoint | None = None
    scopes: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    grants: Annotated[tuple[GrantType, ...], Field(min_length=1, max_length=2)] = ("authorization_code",)
    client_authentication: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    authorize_params: dict[str, str] = Field(default_factory=dict)
    assertion: Signed | None = None
    companies: Companies | None = None
    reuse_revokes: bool = Field(
        default=False,
        description="Whether a refresh token that was exchanged and comes back ends the whole grant.",
    )
    unused_days: Annotated[int, Field(ge=1, le=3_650)] | None = Field(
        default=None, description="For how long a refresh token lives that nobody uses."
    )
    lasts_days: Annotated[int, Field(ge=1, le=3_650)] | None = Field(
        default=None, description="For how long a consent lasts at most, whatever is refreshed."
    )
    pkce: bool = Field(default=True, description="Whether consents are bound by RFC 7636.")
    scope_separator: Literal[" ", ","] = " "
    scopes_setting: Name | None = Field(
        default=None, description="The setting that names further scopes, with commas between."
    )
    ended_by: Annotated[tuple[str, ...], Field(max_length=20)] = Field(
        default=(), description="The provider's own words for `invalid_grant`: only a new consent helps."
    )

    def urls(self) -> Iterator[str]:
        """Where an app's secret, a code or a token may go."""
        companies = self.companies.url if self.companies else None
        yield from filter(None, (self.token_url, self.authorize_url, self.revoke_url, companies))

    def declared(self) -> OAuth:
        """It, as every adapter declares it."""
        signed, listed = self.assertion, self.companies
        return OAuth(
            self.token_url,
            self.authorize_url,
            self.scopes,
            self.grants,
            self.client_authentication,
            self.revoke_url,
            self.authorize_params,
            tenants=None if listed is None else Tenants(listed.url, listed.setting, listed.id, listed.name),
            assertion=None
            if signed is None
            else Assertion(signed.audience, signed.subject_setting, signed.algorithm),
            reuse_revokes=self.reuse_revokes,
            pkce=self.pkce,
            scope_separator=self.scope_separator,
            scopes_setting=self.scopes_setting,
            ended_by=self.ended_by,
            refresh_unused=_days(self.unused_days),
            lasts=_days(self.lasts_days),
        )


Fixed = Annotated[KeyAuth | BearerAuth | BasicAuth, Field(discriminator="kind")]


class ChoiceAuth(Said):
    """A key, a token or a password, or else OAuth: a connection has one of the two."""

    kind: Literal["choice"]
    key: Fixed
    oauth: OAuthAuth


class SessionAuth(Said):
    """A login by POST, whose answer holds a token for the other requests until that is rejected."""

    kind: Literal["session"]
    secrets: Annotated[tuple[Secret, ...], Field(min_length=1, max_length=5)]
    path: Path
    body: Annotated[dict[Parameter, Text], Field(min_length=1, max_length=20)] = Field(
        description="What is sent; its `{{ }}` see `secrets` and `settings`."
    )
    form: bool = Field(default=False, description="Whether the body is form-encoded, and not JSON.")
    token: Annotated[Keys, Field(min_length=1)] = Field(description="Where the answer has the token.")
    header: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,60}$")] = "authorization"
    prefix: Annotated[str, Field(max_length=30, pattern="^[ -~]*$")] = "Bearer "

    @model_validator(mode="after")
    def _can_log_in(self) -> "SessionAuth":
        check_expressions(self.body.values(), LOGIN_SCOPE)
        if "{{" in self.path:
            raise ValueError("the path of a login has no expressions")
        return self


Auth = Annotated[
    NoAuth | KeyAuth | BearerAuth | BasicAuth | SessionAuth | OAuthAuth | ChoiceAuth,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an adapter declares of its credentials.

    Attributes:
        kind: Of those in ``fields``.
        fields: The secrets that a connection needs.
        place: Where a key goes.
        name: Of the header or the parameter that it goes into.
        oauth: How connections are authorized beside it, or instead.
    """

    kind: CredentialKind
    fields: tuple[CredentialField, ...] = ()
    place: KeyPlace = "header"
    name: str = "authorization"
    oauth: OAuth | None = None


def credentials_of(said: Auth) -> Credentials:
    """What an adapter declares for a document's ``auth``."""
    match said:
        case KeyAuth():
            return Credentials(CredentialKind.API_KEY, (_field(said.secret),), said.place, said.name)
        case BearerAuth():
            return Credentials(CredentialKind.BEARER_TOKEN, (_field(said.secret),))
        case BasicAuth():
            return Credentials(CredentialKind.BASIC_AUTH, (_field(said.user), _field(said.password)))
        case OAuthAuth():
            return Credentials(CredentialKind.OAUTH_TOKEN, oauth=said.declared())
        case ChoiceAuth():
            key = credentials_of(said.key)
            return Credentials(key.kind, key.fields, key.place, key.name, said.oauth.declared())
        case SessionAuth():
            return Credentials(CredentialKind.API_KEY, tuple(map(_field, said.secrets)))
        case NoAuth():
            return Credentials(CredentialKind.API_KEY)


def oauth_of(said: Auth) -> OAuthAuth | None:
    """The OAuth of a document, alone or as a choice."""
    return said if isinstance(said, OAuthAuth) else said.oauth if isinstance(said, ChoiceAuth) else None


def _field(secret: Secret) -> CredentialField:
    return CredentialField(secret.name, secret.label, secret.hint)


def _days(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(days=number)
