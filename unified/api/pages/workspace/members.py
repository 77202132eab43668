"""`/members`: who may enter the workspace by a JWT, and links that sign a browser in."""

from typing import Annotated

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.endpoints.workspaces import members as api
from unified.api.management.problems import Problem, explained
from unified.api.management.services import Services, Use
from unified.api.pages.route import Form, router
from unified.api.pages.session import sign_in_link
from unified.api.pages.view import render, see_other
from unified.store.errors import StoreError
from unified.store.workspaces import members
from unified.store.workspaces.permissions import PERMISSIONS, ROLES

_PER_PAGE = 50
_DONE = {
    "add": "They may enter from now on.",
    "change": "The role was changed; tokens that exceed it were revoked.",
    "remove": "They may not enter any more, and tokens that they made were revoked.",
}

Reader = Annotated[Caller, allowed("members:read")]
Writer = Annotated[Caller, allowed("members:write")]

routes = router()


@routes.get("/members")
async def show(request: Request, caller: Reader, services: Use, done: str = "", after: str = "") -> Response:
    """The workspace's members."""
    return await _page(request, caller, services, notice=_DONE.get(done), after=after)


@routes.post("/members")
async def add(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Make a subject a member."""
    try:
        wanted = api.NewMember.model_validate(
            {"subject": form.get("subject", "").strip(), "role": form.get("role")}
        )
        await api.add_member(caller, services, wanted)
    except ValidationError:
        problem = Problem(422, "A member has a subject of at most 255 characters, and a role.")
        return await _page(request, caller, services, problem=problem, form=form)
    except StoreError as error:
        return await _page(request, caller, services, problem=explained(error), form=form)
    return see_other("/members?done=add")


@routes.post("/members/change")
async def change(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Give a member another role, or none."""
    subject, role = form.get("subject", ""), form.get("role", "")
    try:
        if role == "remove":
            await api.remove_member(caller, services, subject)
        else:
            await api.change_role(caller, services, subject, api.RoleChange.model_validate({"role": role}))
    except ValidationError:
        return await _page(request, caller, services, problem=Problem(422, "There is no such role."))
    except StoreError as error:
        return await _page(request, caller, services, problem=explained(error))
    return see_other(f"/members?done={'remove' if role == 'remove' else 'change'}")


@routes.post("/members/link")
async def make_link(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Make a link that signs somebody's browser in once, with permissions that the caller has."""
    role = next((one for one in ROLES if one == form.get("role")), None)
    if role is None or not PERMISSIONS[role] <= caller.permissions:
        problem = Problem(403, "A link can give no permission that you do not have yourself.")
        return await _page(request, caller, services, problem=problem)
    link = await sign_in_link(
        services.db,
        services.provider,
        caller.workspace_id,
        services.settings.public_url,
        role=role,
        actor=caller.actor,
    )
    return render(request, "link_made.html", link=link, role=role)


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    form: dict[str, str] | None = None,
    after: str = "",
) -> Response:
    if "members:read" not in caller.permissions and problem is not None:
        raise problem
    found = await members.listed(services.db, caller.workspace_id, after=after, limit=_PER_PAGE + 1)
    return render(
        request,
        "members.html",
        members=found[:_PER_PAGE],
        is_first=not after,
        next_after=found[_PER_PAGE - 1].subject if len(found) > _PER_PAGE else None,
        roles=[role for role in ROLES if PERMISSIONS[role] <= caller.permissions],
        takes_jwts=services.settings.management.jwt is not None,
        notice=notice,
        problem=problem,
        form=form or {},
    )
