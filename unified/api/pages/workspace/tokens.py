"""`/tokens`: API tokens of the workspace; one that is made is shown once."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.endpoints.workspaces import tokens as api
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import Form, router
from unified.api.pages.view import render, see_other
from unified.store.workspaces import tokens
from unified.store.workspaces.permissions import SCOPES

_PER_PAGE = 50
_SCOPE = "scope."
_DAYS = (1, 30, 90, 365)
_DONE = {"revoke": "It was revoked. Other processes honour that within two seconds."}

Reader = Annotated[Caller, allowed("tokens:read")]
Writer = Annotated[Caller, allowed("tokens:write")]

routes = router()


@routes.get("/tokens")
async def show(
    request: Request, caller: Reader, services: Use, done: str = "", after: UUID | None = None
) -> Response:
    """The workspace's tokens."""
    return await _page(request, caller, services, notice=_DONE.get(done), after=after)


@routes.post("/tokens")
async def make(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Make a token, and show it this once."""
    try:
        wanted = api.NewToken(
            name=form.get("name", "").strip(),
            scopes=[name.removeprefix(_SCOPE) for name in form if name.startswith(_SCOPE)],
            expires_at=_end(form.get("days", "")),
        )
        made = await api.made_token(caller, services, wanted)
    except ValidationError:
        problem = Problem(422, "A token needs a name of at most 100 characters, and at least one permission.")
        return await _page(request, caller, services, problem=problem, form=form)
    except Problem as problem:
        return await _page(request, caller, services, problem=problem, form=form)
    return render(request, "token_made.html", made=made)


@routes.post("/tokens/{token_id}/revoke")
async def revoke(
    caller: Writer,
    services: Use,
    token_id: UUID,
    form: Form,  # noqa: ARG001 - it is read, and holds the session's token alone
) -> Response:
    """Revoke a token, the visitor's own too: that ends the session."""
    await api.revoke_token(caller, services, token_id)
    return see_other("/tokens?done=revoke")


def _end(days: str) -> datetime | None:
    """When a token ends; None for one that ends when it is revoked, which has to be said.

    Raises:
        Problem: If the form offers no such choice.
    """
    if days == "never":
        return None
    if days not in map(str, _DAYS):
        raise Problem(422, "Choose how long the token is good for.")
    return datetime.now(UTC) + timedelta(days=int(days))


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    form: dict[str, str] | None = None,
    after: UUID | None = None,
) -> Response:
    if "tokens:read" not in caller.permissions and problem is not None:
        raise problem
    found = await tokens.listed(services.db, caller.workspace_id, after=after, limit=_PER_PAGE + 1)
    return render(
        request,
        "tokens.html",
        tokens=found[:_PER_PAGE],
        is_first=after is None,
        next_after=str(found[_PER_PAGE - 1].id) if len(found) > _PER_PAGE else None,
        scopes=sorted(SCOPES & caller.permissions),
        days=_DAYS,
        now=datetime.now(UTC),
        own=caller.actor.removeprefix("token:"),
        notice=notice,
        problem=problem,
        form=form or {},
    )
