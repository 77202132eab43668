"""`/workspaces`: the other workspaces that somebody who is signed in may go on to, and going there.

Only a session that began with a link for several workspaces may. It has one workspace at a time: going on ends it, and
begins one in the other workspace, with an API token of that one which is good no longer than the former.
"""

from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, Request, Response

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.cookies import set_cookie
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, Here, router
from unified.api.pages.session import INSTALLATION, LIFETIMES, TOKEN_NAME, Session, Sessions
from unified.api.pages.view import render, see_other
from unified.store.workspaces import members, tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS
from unified.store.workspaces.rows import Workspace
from unified.store.workspaces.tokens import TokenLookup

PER_PAGE = 50

Known = Annotated[Caller, Depends(Rule(None, in_workspace=True))]

routes = router()


@routes.get("/workspaces")
async def show(request: Request, caller: Known, services: Use, session: Here, after: str = "") -> Response:
    """The workspaces that the session reaches."""
    reach = _reach(session)
    found = (
        await workspaces.listed(services.db, after=after, limit=PER_PAGE + 1)
        if reach == INSTALLATION
        else await members.workspaces(services.db, _subject(reach), after=after, limit=PER_PAGE + 1)
    )
    return render(
        request,
        "workspaces.html",
        found=found[:PER_PAGE],
        current=caller.workspace_id,
        is_first=not after,
        next_after=found[PER_PAGE - 1].slug if len(found) > PER_PAGE else None,
    )


@routes.post("/workspaces")
async def go_on(caller: Known, services: Use, session: Here, form: Form) -> Response:
    """Go on to another workspace: as the link's role says, or a member as their own role there."""
    reach = _reach(session)
    known = await TokenLookup(services.db).find(session.token.reveal())
    if known is None:  # it has ended meanwhile
        raise NO_SUCH_PAGE
    target, permissions = await _reached(services, caller, reach, form.get("workspace", ""))
    actor = caller.actor if reach == INSTALLATION else reach
    _, token = await tokens.create(
        services.db, target.id, TOKEN_NAME, sorted(permissions), expires_at=known.expires_at, actor=actor
    )
    sessions = Sessions(services.db, services.provider)
    sealed = await sessions.seal(Session.begin(target.id, token, reach), "session")
    await sessions.note_beginning(target.id, actor)
    await sessions.end(session, caller.actor)
    answer = see_other("/")
    set_cookie(answer, services.settings, "session", sealed, int(LIFETIMES["session"].total_seconds()))
    return answer


def _reach(session: Session) -> str:
    if session.reach is None:
        raise NO_SUCH_PAGE
    return session.reach


async def _reached(
    services: Services, caller: Caller, reach: str, slug: str
) -> tuple[Workspace, Collection[str]]:
    """A workspace that a session reaches, and what it may do there.

    Raises:
        Problem: If it does not reach it.
        WorkspaceNotFoundError: If there is none.
    """
    if reach == INSTALLATION:
        return await workspaces.find(services.db, slug), caller.permissions
    found = await members.memberships(services.db, _subject(reach), slug)
    if not found:
        raise NO_SUCH_PAGE
    return await workspaces.read(services.db, found[0].workspace_id), PERMISSIONS[found[0].role]


def _subject(reach: str) -> str:
    return reach.removeprefix(members.user(""))
