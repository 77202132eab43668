"""`/audit`: who did what to the workspace and its secrets, newest first."""

from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.services import Use
from unified.api.pages.route import router
from unified.api.pages.view import render
from unified.store import audit
from unified.store.audit import Outcome

_PER_PAGE = 100

Text = Annotated[str, Query(max_length=300)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]

routes = router()


@routes.get("/audit")
async def show(
    request: Request,
    caller: Annotated[Caller, allowed("audit:read")],
    services: Use,
    actor: Text = "",
    action: Text = "",
    subject: Text = "",
    outcome: str = "",
    before: Before = None,
) -> Response:
    """The audit log, or those entries of it that match."""
    known = next((one for one in get_args(Outcome) if one == outcome), None)
    who, what, about = actor.strip(), action.strip(), subject.strip()
    query = {"actor": who, "action": what, "subject": about, "outcome": known}
    filled = {name: value for name, value in query.items() if value}
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await audit.entries(
            conn,
            before=before,
            limit=_PER_PAGE + 1,
            actor=who or None,
            action=what or None,
            subject=about or None,
            outcome=known,
        )
    more = {**filled, "before": found[_PER_PAGE - 1].id} if len(found) > _PER_PAGE else None
    return render(
        request,
        "audit.html",
        entries=found[:_PER_PAGE],
        query=filled,
        outcomes=get_args(Outcome),
        following=f"/audit?{urlencode(more)}" if more else None,
        first=f"/audit?{urlencode(filled)}" if before else None,
    )
