"""`/tables`: how many records are stored of each stream, and about how large that is. Nothing is counted for it."""

from fastapi import Request, Response

from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.services import Use
from unified.api.pages.route import router
from unified.api.pages.view import render
from unified.kit.registry import discover_adapters
from unified.store.records import derived, sizes
from unified.store.records.sizes import Leaf

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
    return render(
        request,
        "tables.html",
        streams=found,
        derived=own,
        names={name: adapter.display_name for name, adapter in adapters.items()},
    )
