"""`/routes` and `/routes/{id}`: what is pushed where, what a run would push, and what waits for a person."""

from typing import Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import customer_routes as api
from unified.api.management.endpoints.connections.connections import Reader, Writer
from unified.api.management.endpoints.connections.syncs import RecordReader, Syncer
from unified.api.management.endpoints.customer_routes import PreviewedPush
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.records import address
from unified.api.pages.route import Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.store.routes import review
from unified.store.routes.routes import Routes

_PER_PAGE = 50
_PREVIEWED = 20
_DONE = {
    "run": "A run was asked for. It begins within seconds, or once the run under way has ended.",
    "pause": "It is paused; it still runs when asked.",
    "resume": "It runs by itself again.",
    "decide": "It was decided; the next run acts on that.",
}

routes = router()


@routes.get("/routes")
async def list_routes(request: Request, caller: Reader, services: Use, after: str = "") -> Response:
    """The workspace's routes."""
    found = await Routes(services.db).of_workspace(caller.workspace_id, after=after, limit=_PER_PAGE + 1)
    return render(
        request,
        "routes.html",
        routes=found[:_PER_PAGE],
        is_first=not after,
        next_after=found[_PER_PAGE - 1].name if len(found) > _PER_PAGE else None,
    )


@routes.get("/routes/{route_id}")
async def show(
    request: Request,
    caller: Reader,
    services: Use,
    route_id: UUID,
    done: str = "",
    side: str = "",
    after: str = "",
) -> Response:
    """One route, and a page of what waits, from a side's record on."""
    return await _page(request, caller, services, route_id, notice=_DONE.get(done), after=(side, after))


@routes.post("/routes/{route_id}/preview")
async def preview(request: Request, caller: RecordReader, services: Use, route_id: UUID) -> Response:
    """Say what a run would push. Nothing is sent."""
    try:
        pushes = await api.previewed(caller, services, route_id, _PREVIEWED)
    except Problem as problem:
        return await _page(request, caller, services, route_id, problem=problem)
    return await _page(request, caller, services, route_id, pushes=pushes)


@routes.post("/routes/{route_id}/run")
async def run(caller: Syncer, services: Use, route_id: UUID, form: Form) -> Response:
    """Ask for a run."""
    wanted = api.WantedRun(retry_refused="retry_refused" in form)
    await api.run_route_now(caller, services, route_id, wanted)
    return see_other(f"/routes/{route_id}?done=run")


@routes.post("/routes/{route_id}/{action}")
async def act(
    caller: Writer,
    services: Use,
    route_id: UUID,
    action: Literal["pause", "resume"],
    form: Form,  # noqa: ARG001 - it is read, and holds the session's token alone
) -> Response:
    """Have it run by itself, or not."""
    await (api.pause_route if action == "pause" else api.resume_route)(caller, services, route_id)
    return see_other(f"/routes/{route_id}?done={action}")


@routes.post("/routes/{route_id}/review/decide")
async def decide(request: Request, caller: Syncer, services: Use, route_id: UUID, form: Form) -> Response:
    """Decide about a record that waits."""
    chosen = form.get("decision", "").partition(":")
    try:
        verdict = api.Verdict.model_validate(
            {
                "side": form.get("side"),
                "record_id": form.get("record_id"),
                "decision": chosen[0],
                "other_id": chosen[2] or form.get("other_id", "").strip() or None,
            }
        )
        await api.decide(caller, services, route_id, verdict)
    except ValidationError:
        problem = Problem(422, "Choose what is to become of the record.")
        return await _page(request, caller, services, route_id, problem=problem)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        return await _page(request, caller, services, route_id, problem=refusal(error))
    return see_other(f"/routes/{route_id}?done=decide")


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    route_id: UUID,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    pushes: list[PreviewedPush] | None = None,
    after: tuple[str, str] = ("", ""),
) -> Response:
    route = await Routes(services.db).get(caller.workspace_id, route_id)
    may_read = "records:read" in caller.permissions
    async with services.db.workspace(caller.workspace_id) as conn:
        counts = await review.counts(conn, route)
        waiting = await review.waiting(conn, route, after=after, limit=_PER_PAGE + 1) if may_read else []
    dagster_url = services.settings.management.dagster_url
    return render(
        request,
        "route.html",
        route=route,
        counts=counts,
        waiting=waiting[:_PER_PAGE],
        last=waiting[_PER_PAGE - 1] if len(waiting) > _PER_PAGE else None,
        pushes=pushes,
        connections={"source": route.source, "target": route.target},
        address=address,
        dagster_url=dagster_url,
        notice=notice,
        problem=problem,
    )
