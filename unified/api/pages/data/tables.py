"""`/tables`: how many records are stored of each stream, about how large that is, and how raw records are stored.

Nothing is counted for it.
"""

from typing import Annotated

from fastapi import Request, Response

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.problems import Problem
from unified.api.management.services import Use
from unified.api.pages.route import Form, router
from unified.api.pages.view import render, see_other
from unified.kit.registry import discover_adapters
from unified.store.records import derived, sizes
from unified.store.records.sizes import Leaf
from unified.store.workspaces import workspaces

_FORMS = {"json": False, "compressed": True}

routes = router()


@routes.get("/tables")
async def show(request: Request, caller: Reader, services: Use) -> Response:
    """The workspace's tables, as they were counted last."""
    adapters = discover_adapters()
    leaves = [
        Leaf(name, stream.name, stream.entity.table, stream.entity.leaf(name))
        for name, adapter in adapters.items()
        for stream in adapter.all_streams()
    ]
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await sizes.as_counted(conn, leaves)
        own = await derived.with_rows(conn)
    workspace = await workspaces.read(services.db, caller.workspace_id)
    return render(
        request,
        "tables.html",
        compresses_raw=workspace.compresses_raw,
        streams=found,
        derived=own,
        names={name: adapter.display_name for name, adapter in adapters.items()},
    )


@routes.post("/tables")
async def choose(
    caller: Annotated[Caller, allowed("workspace:write")], services: Use, form: Form
) -> Response:
    """Store raw records in another form from now on."""
    if (compressed := _FORMS.get(form.get("raw", ""))) is None:
        raise Problem(422, "Raw records are stored as json or compressed.")
    await workspaces.update(services.db, caller.workspace_id, compresses_raw=compressed, actor=caller.actor)
    return see_other("/tables")
