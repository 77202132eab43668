"""OAuth 2.0 as providers offer it: the page on which a person consents, tokens, revocation.

Source: RFC 6749, RFC 7009, RFC 7523, RFC 7636. Where the endpoints are and what else a provider answers is its own
(`unified.sandbox.hubspot.oauth`, `unified.sandbox.salesforce.oauth`).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import jwt
import msgspec

from unified.sandbox.provider import ApiError, Reply, api_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.clock import Clock
    from unified.sandbox.provider import Provider

CLIENT_ID = "client-fake-acme"
CLIENT_SECRET = "secret-fake-acme"  # noqa: S105 - as fake as it says
REDIRECT_URI = "http://127.0.0.1:8976/oauth/callback"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CODE_SECONDS = 60


@dataclass
class Grant:
    """One person's consent, and all that came of it.

    Attributes:
        account: The token of the account that it opens.
        generation: How often its refresh token was exchanged for another one.
        is_revoked: Whether it is over.
    """

    account: str
    scopes: list[str]
    generation: int = 0
    is_revoked: bool = False


@dataclass
class Issued:
    """A code or a token."""

    kind: str
    grant: Grant
    expires_at: float | None
    challenge: str = ""
    redirect_uri: str = ""


@dataclass
class OAuthServer:
    """Apps, grants and tokens; tests change the attributes while the server runs.

    Attributes:
        clock: The sandbox's time.
        clients: Secrets of apps by id.
        redirect_uris: Where apps may have a browser sent to. With port 0 any port will do (RFC 8252 section 7.3).
        account: Token of the account in which people consent, and that the app itself opens.
        access_seconds: How long access tokens last.
        rotates: Whether a refresh brings a new refresh token, and the former one ends.
        grace_seconds: How long the former one still works all the same.
        reuse_revokes: Whether a former one that comes back later ends the whole grant.
        names_refresh_token: Whether a refresh without rotation repeats the refresh token in its answer.
        keys: Public keys in PEM of apps that sign what they ask with, by id.
        users: Whom those may act for.
        audience: Whom their JWTs have to be for.
        pkce: Whether a consent has to be bound (RFC 7636); otherwise it must not be.
        scope_separator: What stands between scopes; None for white space.
        consents: Whether the person says yes.
        calls: Requests at the token endpoint by grant type, refused ones included.
        grants: All of them, oldest first.
    """

    clock: Clock
    account: str
    clients: dict[str, str] = field(default_factory=lambda: {CLIENT_ID: CLIENT_SECRET})
    redirect_uris: set[str] = field(
        default_factory=lambda: {REDIRECT_URI, "http://127.0.0.1:0/oauth/callback"}
    )
    access_seconds: float = 1800
    rotates: bool = True
    grace_seconds: float = 0
    reuse_revokes: bool = False
    names_refresh_token: bool = True
    keys: dict[str, str] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    audience: str = ""
    pkce: bool = True
    scope_separator: str | None = None
    consents: bool = True
    calls: Counter[str] = field(default_factory=Counter)
    grants: list[Grant] = field(default_factory=list)
    _issued: dict[str, Issued] = field(default_factory=dict)
    _serial: int = 0

    def routes(self, provider: Provider[Any], *, authorize: str, token: str, revoke: str) -> list[Route]:
        """The endpoints. What was served is in the provider's statistics too, and its faults strike here as well."""
        return [
            provider.public(authorize, self._authorize),
            provider.public(token, self._token, "POST"),
            provider.public(revoke, self._revoke, "POST"),
        ]

    def account_of(self, access_token: str) -> str | None:
        """The account that an access token opens at this moment."""
        issued = self.find(access_token, "access")
        return issued.grant.account if issued else None

    def answer(self, request: Request, grant: Grant) -> dict[str, Any]:
        """What the token endpoint says besides tokens."""
        del request
        return {"expires_in": self.access_seconds, "scopes": grant.scopes}

    def error(self, error: str, description: str, *, status: str | None = None, code: int = 400) -> ApiError:
        """A refusal of the token endpoint (RFC 6749 section 5.2); `status` is a provider's own word for it."""
        del status
        return ApiError(code, {"error": error, "error_description": description})

    def revoke_all(self) -> None:
        """The person takes every consent back: the app is uninstalled."""
        for grant in self.grants:
            grant.is_revoked = True

    def forget_access_tokens(self) -> None:
        """Access tokens end before their time; refresh tokens go on."""
        self._issued = {token: one for token, one in self._issued.items() if one.kind != "access"}

    def report(self) -> dict[str, Any]:
        """What was asked for, and how grants stand."""
        return {
            "calls": dict(self.calls),
            "grants": [
                {"account": one.account, "generation": one.generation, "is_revoked": one.is_revoked}
                for one in self.grants
            ],
        }

    # Endpoints -----------------------------------------------------------------------------------------

    def _authorize(self, request: Request, _: bytes) -> Reply:
        """Stands for the page: opening it is consent, or refusal, at once."""
        query = request.query_params
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") not in self.clients or not self._may_return_to(redirect_uri):
            # RFC 6749 section 4.1.2.1: then nobody is sent anywhere.
            return Reply(b"<h1>This app can't be connected</h1>", 400, media_type="text/html")
        back = {"state": query["state"]} if "state" in query else {}
        if not self.consents:
            back |= {"error": "access_denied", "error_description": "The user said no"}
        elif (
            query.get("response_type") != "code"
            or (query.get("code_challenge_method") == "S256") != self.pkce
        ):
            back |= {"error": "invalid_request", "error_description": "a code with an S256 challenge, please"}
        else:
            grant = self._grant(query.get("scope", "").split(self.scope_separator))
            challenge = query.get("code_challenge", "")
            issued = Issued("code", grant, self.clock.time() + _CODE_SECONDS, challenge, redirect_uri)
            back["code"] = self._issue(issued)
        return Reply(b"", 302, {"location": f"{redirect_uri}?{urlencode(back)}"})

    def _token(self, request: Request, body: bytes) -> Reply:
        form = self.form(request, body)
        kind = form.get("grant_type", "")
        self.calls[kind] += 1
        if kind != JWT_BEARER:
            self.check_client(form)
        handlers: dict[str, Callable[[dict[str, str]], tuple[Grant, str | None]]] = {
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh_token,
            "client_credentials": lambda form: (self._grant(form.get("scope", "").split()), None),
            JWT_BEARER: self._by_assertion,
        }
        if kind not in handlers:
            raise self.error("unsupported_grant_type", f"no grant type {kind!r}")
        grant, refresh_token = handlers[kind](form)
        access = self._issue(Issued("access", grant, self.clock.time() + self.access_seconds))
        answer: dict[str, Any] = {
            "token_type": "bearer",
            "access_token": access,
            **self.answer(request, grant),
        }
        if refresh_token:
            answer["refresh_token"] = refresh_token
        return Reply(msgspec.json.encode(answer), headers={"cache-control": "no-store"})

    def _by_code(self, form: dict[str, str]) -> tuple[Grant, str | None]:
        issued = self.find(form.get("code", ""), "code")
        self._issued.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "").encode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if issued is None:
            raise self.error("invalid_grant", "missing or unknown auth code", status="BAD_AUTH_CODE")
        is_bound = issued.challenge == (challenge if self.pkce else "")
        if issued.redirect_uri != form.get("redirect_uri") or not is_bound:
            raise self.error("invalid_grant", "redirect_uri or code_verifier does not match")
        return issued.grant, self._issue(Issued("refresh", issued.grant, None))

    def _by_refresh_token(self, form: dict[str, str]) -> tuple[Grant, str | None]:
        given = form.get("refresh_token", "")
        issued = self.find(given, "refresh")
        if issued is None:
            used = self._issued.get(given)
            if used is not None and self.reuse_revokes:
                used.grant.is_revoked = True
            # Some providers quote what they refuse.
            raise self.error(
                "invalid_grant",
                f"refresh token is invalid, expired or revoked: {given}",
                status="BAD_REFRESH_TOKEN",
            )
        if not self.rotates:
            return issued.grant, given if self.names_refresh_token else None
        issued.grant.generation += 1
        issued.expires_at = self.clock.time() + self.grace_seconds
        return issued.grant, self._issue(Issued("refresh", issued.grant, None))

    def _by_assertion(self, form: dict[str, str]) -> tuple[Grant, None]:
        """RFC 7523: an app with a key of its own says for whom it asks; no refresh token follows."""
        try:
            unproven = jwt.decode(form.get("assertion", ""), options={"verify_signature": False})
            issuer = str(unproven.get("iss"))
            claims = jwt.decode(
                form["assertion"], self.keys[issuer], algorithms=["RS256"], audience=self.audience, issuer=issuer,
                options={"require": ["exp", "sub", "aud"]},
            )  # fmt: skip
        except (KeyError, TypeError, jwt.PyJWTError) as error:
            raise self.error("invalid_grant", f"invalid assertion ({type(error).__name__})") from None
        if claims["sub"] not in self.users:
            raise self.error("invalid_grant", "user hasn't approved this consumer")
        return self._grant([]), None

    def _revoke(self, request: Request, body: bytes) -> Reply:
        form = self.form(request, body)
        self.check_client(form)
        issued = self.find(form.get("token", ""), "refresh")
        if issued:
            issued.grant.is_revoked = True
        return Reply(b"", 204)

    # ---------------------------------------------------------------------------------------------------

    def form(self, request: Request, body: bytes) -> dict[str, str]:
        """The parameters of a request, the app's own credentials among them however they came."""
        form = dict(parse_qsl(body.decode()))
        if request.url.query:
            raise self.error("invalid_request", f"{api_path(request)} takes its parameters in the body")
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            form["client_id"], _, form["client_secret"] = base64.b64decode(value).decode().partition(":")
        return form

    def check_client(self, form: dict[str, str]) -> None:
        """Refuse an app that does not prove itself by its secret."""
        if self.clients.get(form.get("client_id", "")) != form.get("client_secret", ""):
            raise self.error("invalid_client", "missing or invalid client id or client secret", code=401)

    def _may_return_to(self, uri: str) -> bool:
        loopback = f"http://127.0.0.1:0/{uri.split('/', 3)[3]}" if uri.count("/") > 2 else uri  # noqa: PLR2004
        is_local = uri.startswith("http://127.0.0.1:")
        return uri in self.redirect_uris or (is_local and loopback in self.redirect_uris)

    def _grant(self, scopes: list[str]) -> Grant:
        self.grants.append(Grant(self.account, scopes))
        return self.grants[-1]

    def _issue(self, issued: Issued) -> str:
        self._serial += 1
        token = f"{issued.kind}-fake-{self._serial:06d}"
        self._issued[token] = issued
        return token

    def find(self, token: str, kind: str | None) -> Issued | None:
        """A code or token of a kind, or of any, that works at this moment."""
        issued = self._issued.get(token)
        if issued is None or kind not in (None, issued.kind) or issued.grant.is_revoked:
            return None
        is_over = issued.expires_at is not None and issued.expires_at <= self.clock.time()
        return None if is_over else issued
