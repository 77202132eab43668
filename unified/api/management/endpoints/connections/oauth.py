"""`/api/connectors/configs/{id}/authorize` and `/oauth/callback`: authorizing a connection by OAuth.

A browser that begins is given a cookie, and has to show it when the provider sends it back. So nobody can be talked
into consenting for somebody else's connection, nor have a stranger's account put into their own. What has no browser of
its own sends a person away and brings back, under the same name, the URL that the person ended on.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.cookies import cookie_name, delete_cookie, set_cookie
from unified.api.management.endpoints.connections.syncs import TestedAccount, shown_account
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.api.settings import Settings
from unified.kit.declarations import GrantType
from unified.kit.errors import MAY_PASS, AdapterError
from unified.kit.oauth import declared, returned
from unified.kit.oauth_app import CLIENT_ID, CLIENT_SECRET
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.registry import presentable
from unified.store.secrets.authorizations import OtherAccountError
from unified.store.secrets.consents import LIFETIME, ConsentError
from unified.sync.access.consent import Authorized, Authorizer

CALLBACK_PATH = "/oauth/callback"

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_LONGEST_URL = 8_000
_FROM_PAGE = "_page"

CredentialWriter = Annotated[Caller, Depends(Rule("credentials:write", in_workspace=True))]
ClientText = Annotated[SecretStr, Field(min_length=1, max_length=1_000)]

routes = router("/api/connectors/configs/{connection_id}/authorize", "Credentials")
callback = APIRouter(include_in_schema=False)


class OwnApp(BaseModel):
    """An OAuth app of the connection's own."""

    model_config = ConfigDict(extra="forbid")

    client_id: ClientText
    client_secret: ClientText


class WantedAuthorization(BaseModel):
    """How to authorize a connection."""

    model_config = ConfigDict(extra="forbid")

    grant_type: Annotated[
        GrantType | None,
        Field(
            description="By a person's consent, or by the app's own right; null takes the connector's usual way."
        ),
    ] = None
    app: Annotated[
        OwnApp | None,
        Field(
            description="The connection's own OAuth app; null takes the stored one, or else the installation's."
        ),
    ] = None


class ReturnedUrl(BaseModel):
    """Where a person ended after consenting."""

    model_config = ConfigDict(extra="forbid")

    redirected_url: Annotated[
        SecretStr,
        Field(
            min_length=1, max_length=_LONGEST_URL, description="The whole URL that the provider sent them to."
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A connection that is authorized, or what is left to do."""

    url: Annotated[
        str | None, Field(description="Where to send the browser; null where nobody has to consent.")
    ]
    expires_at: Annotated[datetime | None, Field(description="Until when the browser may come back.")]
    account: Annotated[
        TestedAccount | None,
        Field(description="Whose account it opens, once it is authorized and was tried."),
    ]


@routes.post("", response_model=Authorization)
async def authorize(
    caller: CredentialWriter, services: Use, connection_id: UUID, wanted: WantedAuthorization | None = None
) -> Response:
    """Begin to authorize a connection by OAuth: send the browser that asked to `url`, within ten minutes."""
    begun, proof = await begin(caller, services, connection_id, wanted or WantedAuthorization())
    answer = json_answer(begun)
    if proof:
        proof.give(services.settings, answer)
    return answer


@dataclass(frozen=True, slots=True)
class Proof:
    """What a browser that was sent away has to show when it comes back: a cookie."""

    name: str
    value: Secret

    def give(self, settings: Settings, answer: Response) -> None:
        """Give it to the browser that gets the answer."""
        _give(settings, answer, self.name, self.value.reveal())

    def from_page(self, settings: Settings, answer: Response) -> None:
        """Give it to a browser that is on a page of ours, and note that it wants to go on there afterwards."""
        self.give(settings, answer)
        _give(settings, answer, f"{self.name}{_FROM_PAGE}", "1")


def _give(settings: Settings, answer: Response, name: str, value: str) -> None:
    # Lax: the provider sends the browser back, from another site.
    set_cookie(answer, settings, name, value, int(LIFETIME.total_seconds()), samesite="lax")


async def begin(
    caller: Caller, services: Services, connection_id: UUID, wanted: WantedAuthorization
) -> tuple[Authorization, Proof | None]:
    """Begin to authorize a connection.

    Returns:
        Where to send the browser, and what it has to show when it comes back; no proof where nobody has to consent.
    """
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    own = (
        {
            CLIENT_ID: Secret(wanted.app.client_id.get_secret_value()),
            CLIENT_SECRET: Secret(wanted.app.client_secret.get_secret_value()),
        }
        if wanted.app
        else {}
    )
    authorizer = Authorizer(services.db, services.credentials)
    try:
        grant = declared(get_adapter(connection.connector)).choose(wanted.grant_type, connection.connector)
        if grant == "client_credentials":
            done = await authorizer.by_credentials(connection, subject=caller.actor, own=own)
            return _authorized(done), None
        browser = Authorizer.new_secret()
        begun = await authorizer.begin(
            connection, _callback_url(services), subject=caller.actor, own=own, browser=browser
        )
    except AdapterError as error:
        raise _refused(error) from None
    shown = Authorization(url=begun.url, expires_at=begun.expires_at, account=None)
    return shown, Proof(_cookie(begun.state.reveal()), browser)


@routes.post("/complete", response_model=Authorization)
async def complete(
    caller: CredentialWriter, services: Use, connection_id: UUID, ended: ReturnedUrl
) -> Response:
    """End what you have begun yourself, with the URL that a person was sent to: for what has no browser of its own."""
    await services.registry.get_connection(caller.workspace_id, connection_id)
    answer = returned(ended.redirected_url.get_secret_value())
    if not answer.get("state", "").startswith(caller.workspace_id.hex):
        raise Problem(422, str(ConsentError()))
    try:
        done = await Authorizer(services.db, services.credentials).complete(
            answer, subject=caller.actor, connection_id=connection_id
        )
    except (AdapterError, ConsentError, OtherAccountError) as error:
        raise _refused(error) from None
    return json_answer(_authorized(done))


@routes.delete("", status_code=204)
async def revoke(caller: CredentialWriter, services: Use, connection_id: UUID) -> Response:
    """Give the grant back to the provider, and forget the tokens; records stay."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    try:
        await Authorizer(services.db, services.credentials).revoke(connection, subject=caller.actor)
    except AdapterError as error:
        raise _refused(error) from None
    return no_content()


@callback.get(CALLBACK_PATH)
async def come_back(request: Request, services: Use) -> Response:
    """Where a provider sends the browser after a person has consented, or not."""
    answer = returned(str(request.url)) if len(str(request.url)) <= _LONGEST_URL else {}
    proof = _cookie(answer.get("state", ""))
    shown = request.cookies.get(cookie_name(services.settings, proof))
    try:
        done = await Authorizer(services.db, services.credentials).complete(
            answer, browser=Secret(shown) if shown else None
        )
    except (AdapterError, ConsentError, OtherAccountError) as error:
        page = _page(_refused(error).status, "Not authorized", presentable(str(error)))
    else:
        there = f"/connectors/{done.connection.id}"
        is_awaited = cookie_name(services.settings, f"{proof}{_FROM_PAGE}") in request.cookies
        page = _page(200, "Authorized", f"{done.connection.key} is authorized.", there, goes_on=is_awaited)
    for name in (proof, f"{proof}{_FROM_PAGE}"):
        delete_cookie(page, services.settings, name)
    return page


def _callback_url(services: Services) -> str:
    return f"{services.settings.public_url}{CALLBACK_PATH}"


def _cookie(state: str) -> str:
    """One for each consent, so that two at once do not disturb each other."""
    return f"oauth_{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def _authorized(done: Authorized) -> Authorization:
    account = done.account
    known = shown_account(account) if account else None
    return Authorization(url=None, expires_at=None, account=known)


def _refused(error: Exception) -> Problem:
    """What a failure means to the caller; its text was made for people and holds no secret."""
    passes = isinstance(error, MAY_PASS)
    status = 502 if passes else 409 if isinstance(error, OtherAccountError) else 422
    return Problem(status, presentable(str(error)))


def _page(
    status: int, title: str, text: str, there: str = "/connectors", *, goes_on: bool = False
) -> HTMLResponse:
    # By a page, not by a redirect: a browser that comes from elsewhere would not show its session's cookie.
    on = f'<meta http-equiv="refresh" content="0;url={there}?done=authorize">' if goes_on else ""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)} · Unified Assets</title>{on}"
        "<style>:root{color-scheme:light dark;font:1rem/1.5 sans-serif}"
        "main{max-width:40rem;margin:4rem auto;padding:0 1rem}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{escape(text)}</p>"
        f'<p><a href="{there}">Back to the connections</a></p></main></body></html>'
    )
    headers = {"content-security-policy": _CSP, "referrer-policy": "no-referrer", "cache-control": "no-store"}
    return HTMLResponse(html, status, headers)
