"""How a workspace differs from a file, as steps that make it equal.

Connections come first, then what stands on them; what is removed goes the other way round.
"""

from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress

from unified.kit.document.source import Place
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import Workspace, WorkspaceNotFoundError
from unified.sync.declared.connections import connection_steps, extra_connection
from unified.sync.declared.document import Document
from unified.sync.declared.routes import extra_route, route_steps
from unified.sync.declared.rules import rule_steps
from unified.sync.declared.steps import REFUSALS, Ground, Kind, Step
from unified.sync.declared.webhooks import webhook_steps


async def plan(ground: Ground, document: Document) -> list[Step]:
    """What has to be done, in order. Nothing is changed; secrets are compared, which the audit log says.

    A thing that can't be made as the file says is a step that is ``refused``, and leaves the others alone.
    """
    workspace: Workspace | None = None
    with suppress(WorkspaceNotFoundError):
        workspace = await workspaces.find(ground.db, ground.workspace)
    there = (
        {one.name: one for one in await Registry(ground.db).connections(workspace.id)} if workspace else {}
    )
    routes = {one.name: one for one in await _all_routes(ground, workspace)}
    steps: list[Step] = [] if workspace else [_new_workspace(ground)]
    for name, wanted in document.connections.items():
        now = there.get(name)
        path: Place = ("connections", name)
        found = await _or_refused(
            connection_steps(ground, workspace, name, wanted, now), "connection", name, path
        )
        steps += found
        if any(one.action == "refused" for one in found):
            continue
        steps += await _or_refused(
            webhook_steps(ground, name, wanted, now), "webhook", name, (*path, "webhooks")
        )
        steps += await _or_refused(rule_steps(ground, name, wanted, now), "rules", name, (*path, "rules"))
    coming = frozenset(one.name for one in steps if (one.kind, one.action) == ("connection", "add"))
    for name, route in document.routes.items():
        try:
            steps += route_steps(ground, name, route, routes.get(name), there, document.connections, coming)
        except REFUSALS as error:
            steps.append(_refused("route", name, ("routes", name), error))
    return [
        *(one for one in steps if one.action != "extra"),
        *_extras(ground, document, steps, there, routes.values()),
    ]


def _extras(
    ground: Ground,
    document: Document,
    steps: Sequence[Step],
    there: dict[str, Connection],
    routes: Iterable[Route],
) -> list[Step]:
    """What is not in the file, in the order in which it can be removed."""
    led = {end for route in document.routes.values() for end in (route.source, route.target)}
    return [
        *(extra_route(ground, one) for one in routes if one.name not in document.routes),
        *(one for one in steps if one.action == "extra"),
        *(
            extra_connection(ground, one)
            for name, one in there.items()
            if name not in document.connections and name not in led
        ),
    ]


async def _or_refused(planned: Awaitable[list[Step]], kind: Kind, name: str, path: Place) -> list[Step]:
    try:
        return await planned
    except REFUSALS as error:
        return [_refused(kind, name, path, error)]


def _refused(kind: Kind, name: str, path: Place, error: Exception) -> Step:
    reason = " ".join(str(error).split())
    return Step(kind=kind, name=name, action="refused", detail=[reason], path=path)


def _new_workspace(ground: Ground) -> Step:
    async def add() -> Sequence[str]:
        await workspaces.create(ground.db, ground.workspace, actor=ground.actor)
        return ()

    return Step(kind="workspace", name=ground.workspace, action="add", path=("workspace",), carry_out=add)


async def _all_routes(ground: Ground, workspace: Workspace | None) -> list[Route]:
    return await Routes(ground.db).of_workspace(workspace.id) if workspace else []
