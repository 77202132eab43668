"""`/api/workspaces`: the tenants that a caller is a member of; an admin of the deployment makes new ones."""

from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import Header, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management import headers
from unified.api.management.access.callers import Caller, Identity, Known, allowed, deployment_allowed
from unified.api.management.answers import IfMatch, json_answer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.errors import DuplicateNameError
from unified.store.workspaces import members, workspaces
from unified.store.workspaces.rows import ModelSees, Workspace, WorkspaceNotFoundError

routes = router("/api/workspaces", "Workspaces")

Name = Annotated[str, Field(min_length=1, max_length=200, description="Its name for people.")]


class NewWorkspace(BaseModel):
    """A workspace to make."""

    model_config = ConfigDict(extra="forbid")

    slug: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="Its name in keys; it never changes."
    )
    name: Name | None = None
    requires_approval: bool = False
    owner: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="Subject of its first owner; by default the caller."
    )


class WorkspaceChange(BaseModel):
    """What to change about a workspace; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    requires_approval: bool | None = None
    model_sees: ModelSees | None = Field(
        default=None,
        description="What a model may be shown of the workspace's records, when one is asked for rules: nothing, names "
        "and shapes of fields, or some values too.",
    )
    compresses_raw: bool | None = Field(
        default=None,
        description="Whether raw records are stored compressed from now on: a third of the space, but null to SQL. "
        "`unified raw compress` and `expand` bring what is stored already to the same.",
    )


@routes.get("", response_model=Page[Workspace])
async def list_workspaces(identity: Known, services: Use, page: AskedPage) -> Response:
    """List the workspaces that the caller is a member of, by slug; an API token has its own."""
    after = page.after(str) or ""
    if identity.home is not None:
        home = await workspaces.read(services.db, identity.home.workspace_id)
        found = [home] if home.slug > after else []
    elif identity.subject is None:
        found = []
    else:
        found = await members.workspaces(services.db, identity.subject, after=after, limit=page.fetch)
        if identity.claimed is not None:
            found = [one for one in found if {one.slug, str(one.id)} & identity.claimed]
    return page.answer(found, key=lambda workspace: workspace.slug)


@routes.get("/all", response_model=Page[Workspace], dependencies=[deployment_allowed("workspaces:list")])
async def list_all_workspaces(services: Use, page: AskedPage) -> Response:
    """List all workspaces of the deployment, by slug."""
    found = await workspaces.listed(services.db, after=page.after(str) or "", limit=page.fetch)
    return page.answer(found, key=lambda workspace: workspace.slug)


@routes.post("", status_code=201, response_model=Workspace)
async def create_workspace(
    identity: Annotated[Identity, deployment_allowed("workspaces:create")],
    services: Use,
    wanted: NewWorkspace,
    idempotency_key: Annotated[str | None, Header(include_in_schema=False, max_length=255)] = None,
) -> Response:
    """Make a workspace. The caller becomes its owner, unless another subject is named."""
    owner = wanted.owner or identity.subject
    if owner is None:
        raise Problem(422, "A token can't own a workspace: name the subject of its owner.")
    if idempotency_key is None:
        made = await _create(services, identity, wanted, owner, None)
    else:
        # It belongs to no workspace yet, so the key itself leads to what it made.
        workspace_id = uuid5(NAMESPACE_URL, f"unified/{identity.actor}/{idempotency_key}")
        try:
            made = await workspaces.read(services.db, workspace_id)
        except WorkspaceNotFoundError:
            made = await _create(services, identity, wanted, owner, workspace_id)
        if made.slug != wanted.slug:
            raise Problem(422, f"This {headers.IDEMPOTENCY_KEY} has made another workspace; use a new one.")
    return json_answer(made, 201, version=made.version, headers={"location": f"/api/workspaces/{made.slug}"})


@routes.get("/{workspace}", response_model=Workspace)
async def get_workspace(
    caller: Annotated[Caller, allowed("workspace:read")], services: Use, workspace: str
) -> Response:
    """Show the workspace that the request is made in."""
    found = await workspaces.read(services.db, _own(caller, workspace))
    return json_answer(found, version=found.version)


@routes.patch("/{workspace}", response_model=Workspace)
async def change_workspace(
    caller: Annotated[Caller, allowed("workspace:write")],
    services: Use,
    workspace: str,
    change: WorkspaceChange,
    version: IfMatch,
) -> Response:
    """Change the workspace: its name, what waits for approval, what a model sees, how raw records are stored."""
    changed = await workspaces.update(
        services.db,
        _own(caller, workspace),
        name=change.name,
        requires_approval=change.requires_approval,
        model_sees=change.model_sees,
        compresses_raw=change.compresses_raw,
        if_version=version,
        actor=caller.actor,
    )
    return json_answer(changed, version=changed.version)


def _own(caller: Caller, workspace: str) -> UUID:
    """The caller's workspace, if it is the one in the path."""
    if workspace not in (caller.workspace, str(caller.workspace_id)):
        raise Problem(404, "The request is made in another workspace; name this one by X-Workspace.")
    return caller.workspace_id


async def _create(
    services: Services, identity: Identity, wanted: NewWorkspace, owner: str, workspace_id: UUID | None
) -> Workspace:
    try:
        return await workspaces.create(
            services.db,
            wanted.slug,
            wanted.name,
            workspace_id=workspace_id,
            owner=owner,
            requires_approval=wanted.requires_approval,
            actor=identity.actor,
        )
    except DuplicateNameError:
        raise Problem(409, "There is a workspace of that slug already; choose another.") from None
