"""`/api/members`: who may enter the workspace, and in which role."""

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.answers import json_answer, no_content
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.store.workspaces import members
from unified.store.workspaces.members import Member
from unified.store.workspaces.permissions import Role

routes = router("/api/members", "Members")

Subject = Annotated[str, Path(max_length=255, description="The claim `sub` of the member's JWTs.")]


class NewMember(BaseModel):
    """A member to add."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(
        min_length=1, max_length=255, description="The claim `sub` of the JWTs that they will come with."
    )
    role: Role


class RoleChange(BaseModel):
    """A member's new role."""

    model_config = ConfigDict(extra="forbid")

    role: Role


@routes.get("", response_model=Page[Member])
async def list_members(
    caller: Annotated[Caller, allowed("members:read")], services: Use, page: AskedPage
) -> Response:
    """List the members, by subject."""
    found = await members.listed(
        services.db, caller.workspace_id, after=page.after(str) or "", limit=page.fetch
    )
    return page.answer(found, key=lambda member: member.subject)


@routes.post("", status_code=201, response_model=Member)
async def add_member(
    caller: Annotated[Caller, allowed("members:write")], services: Use, wanted: NewMember
) -> Response:
    """Make a subject a member, in a role that may do no more than the caller."""
    added = await members.add(
        services.db,
        caller.workspace_id,
        wanted.subject,
        wanted.role,
        actor=caller.actor,
        permitted=caller.permissions,
    )
    return json_answer(added, 201)


@routes.patch("/{subject:path}", response_model=Member)
async def change_role(
    caller: Annotated[Caller, allowed("members:write")], services: Use, subject: Subject, change: RoleChange
) -> Response:
    """Give a member another role. Tokens that the member made and that exceed it are revoked."""
    changed = await members.change_role(
        services.db,
        caller.workspace_id,
        subject,
        change.role,
        actor=caller.actor,
        permitted=caller.permissions,
    )
    services.tokens.forget()
    return json_answer(changed)


@routes.delete("/{subject:path}", status_code=204)
async def remove_member(
    caller: Annotated[Caller, allowed("members:write")], services: Use, subject: Subject
) -> Response:
    """Take a member out of the workspace, and revoke the tokens that the member made."""
    await members.remove(
        services.db, caller.workspace_id, subject, actor=caller.actor, permitted=caller.permissions
    )
    services.tokens.forget()
    return no_content()
