"""`/sign-in` and `/sign-out`: a browser shows an API token once, or a link made on the installation's own machine.

`/set-up`: by such a link the first workspace is named, where there is none.
"""

import hashlib
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from unified.api.management.access.callers import Identity
from unified.api.management.cookies import cookie_name, delete_cookie, set_cookie
from unified.api.management.problems import Problem, explained
from unified.api.management.services import Services, Use
from unified.api.pages.route import ReadableRoute, read_form, session_of
from unified.api.pages.session import INSTALLATION, LIFETIMES, TOKEN_NAME, Session, Sessions, new_nonce
from unified.api.pages.view import render, see_other
from unified.kit.secrets import Secret
from unified.store.errors import DuplicateNameError, InvalidSettingError
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS

START = "/connectors"
# Where one may go on to after signing in: a page of ours, with what was searched for there. No other host begins so.
_PAGE = re.compile(
    r"/(?!sign-|assets/)(?:[A-Za-z0-9._~%@:+-]+(?:/[A-Za-z0-9._~%@:+-]+)*)?(?:\?[A-Za-z0-9._~%@:+&=-]*)?"
)
_FORM_SECONDS = 3_600
_USED = "This link was used already, or is older than ten minutes. `unified sign-in` makes another one."

routes = APIRouter(route_class=ReadableRoute, include_in_schema=False)


@routes.get("/sign-in")
async def ask(request: Request, services: Use, next: str = START) -> Response:  # noqa: A002 - the field's name
    """Ask for a token."""
    return _form(request, services, "sign_in.html", next=_page_of(next), problem=None)


@routes.post("/sign-in")
async def sign_in(request: Request, services: Use) -> Response:
    """Take a token."""
    form = await read_form(request, services, _expected(request, services))
    then = _page_of(form.get("next", START))
    token = Secret(form.get("token", "").strip())
    try:
        identity = await _identified(services, token)
        return await _signed_in(services, identity, token, then)
    except Problem as refused:
        return _form(request, services, "sign_in.html", next=then, problem=refused)


@routes.get("/sign-in/{sealed}")
async def ask_by_link(request: Request, services: Use, sealed: str) -> Response:
    """Ask whether to use a link. Looking at it does not use it up, for programs look at links too."""
    _, identity = await _linked(services, sealed)
    workspace = identity.home.workspace if identity.home else ""
    return _form(request, services, "sign_in_link.html", workspace=workspace)


@routes.post("/sign-in/{sealed}")
async def sign_in_by_link(request: Request, services: Use, sealed: str) -> Response:
    """Use a link."""
    await read_form(request, services, _expected(request, services))
    link, identity = await _linked(services, sealed)
    if not await _sessions(services).use_up(link, identity.actor):
        raise Problem(403, _USED)
    return await _signed_in(services, identity, link.token, START, link.reach)


@routes.get("/set-up/{token}")
async def ask_to_set_up(request: Request, services: Use, token: str) -> Response:
    """Ask for the name of the first workspace."""
    await _first(services, token)
    return _form(request, services, "set_up.html", slug="", problem=None)


@routes.post("/set-up/{token}")
async def set_up(request: Request, services: Use, token: str) -> Response:
    """Make the first workspace, and sign in to it as its owner."""
    form = await read_form(request, services, _expected(request, services))
    actor = (await _first(services, token)).actor
    slug = form.get("slug", "").strip()
    try:
        made = await workspaces.create(services.db, slug, actor=actor)
    except (DuplicateNameError, InvalidSettingError) as error:
        return _form(request, services, "set_up.html", slug=slug, problem=explained(error))
    _, own = await tokens.create(
        services.db,
        made.id,
        TOKEN_NAME,
        sorted(PERMISSIONS["owner"]),
        expires_at=datetime.now(UTC) + LIFETIMES["session"],
        actor=actor,
    )
    return await _signed_in(services, await _identified(services, own), own, "/", INSTALLATION)


@routes.post("/sign-out")
async def sign_out(request: Request, services: Use) -> Response:
    """End the session, wherever its cookie was copied to. The token stays good: other machines may use it too."""
    if session := await session_of(request, services):
        await read_form(request, services, session.nonce)
        actor = None
        with suppress(Problem):  # its token was revoked
            actor = (await _identified(services, session.token)).actor
        await _sessions(services).end(session, actor)
    answer = see_other("/sign-in")
    delete_cookie(answer, services.settings, "session")
    answer.headers["clear-site-data"] = '"cache"'
    return answer


async def _linked(services: Services, sealed: str) -> tuple[Session, Identity]:
    link = await _sessions(services).open(sealed, "link")
    if link is None:
        raise Problem(403, _USED)
    try:
        return link, await _identified(services, link.token)
    except Problem:
        raise Problem(403, _USED) from None


async def _first(services: Services, token: str) -> Identity:
    """Who names the first workspace, as long as there is none."""
    if not token.startswith("uad_"):
        raise Problem(403, _USED)
    try:
        identity = await services.access.identify(f"Bearer {token}")
    except Problem:
        raise Problem(403, _USED) from None
    if "workspaces:create" not in identity.permissions:
        raise Problem(403, _USED)
    if await workspaces.listed(services.db, limit=1):
        raise Problem(409, "There is a workspace already. `unified sign-in` makes a link to it.")
    return identity


async def _identified(services: Services, token: Secret) -> Identity:
    if not token.reveal().startswith("uat_"):
        raise Problem(401, "This is not an API token of a workspace; that begins with uat_.")
    return await services.access.identify(f"Bearer {token.reveal()}")


async def _signed_in(
    services: Services, identity: Identity, token: Secret, then: str, reach: str | None = None
) -> Response:
    caller = await services.access.enter(identity, None)
    session = Session.begin(caller.workspace_id, token, reach)
    sealed = await _sessions(services).seal(session, "session")
    await _sessions(services).note_beginning(caller.workspace_id, caller.actor)
    answer = see_other(then)
    set_cookie(answer, services.settings, "session", sealed, int(LIFETIMES["session"].total_seconds()))
    return answer


def _form(request: Request, services: Services, template: str, **values: Any) -> Response:
    """A form for somebody who is not signed in: a cookie of its own says that the browser got it from here."""
    nonce = request.cookies.get(cookie_name(services.settings, "form")) or new_nonce()
    page = render(request, template, csrf=_digest(nonce), **values)
    set_cookie(page, services.settings, "form", nonce, _FORM_SECONDS)
    return page


def _expected(request: Request, services: Services) -> Secret:
    # Without the cookie nothing will do, what an empty one would ask for least of all.
    return Secret(_digest(request.cookies.get(cookie_name(services.settings, "form")) or new_nonce()))


def _digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def _page_of(path: str) -> str:
    return path if _PAGE.fullmatch(path) else START


def _sessions(services: Services) -> Sessions:
    return Sessions(services.db, services.provider)
