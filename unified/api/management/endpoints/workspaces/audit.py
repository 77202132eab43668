"""`/api/audit`: who did what to the workspace and its secrets."""

from typing import Annotated, Literal

from fastapi import Query, Response

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.store import audit
from unified.store.audit import AuditEntry

routes = router("/api/audit", "Audit log")

Text = Annotated[str | None, Query(max_length=300)]


@routes.get("", response_model=Page[AuditEntry])
async def list_entries(
    caller: Annotated[Caller, allowed("audit:read")],
    services: Use,
    page: AskedPage,
    actor: Text = None,
    action: Text = None,
    subject: Text = None,
    outcome: Annotated[Literal["allowed", "denied", "failed"] | None, Query()] = None,
) -> Response:
    """List the audit log, newest first, or those entries of it that match."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await audit.entries(
            conn,
            before=page.after(int),
            limit=page.fetch,
            actor=actor,
            action=action,
            subject=subject,
            outcome=outcome,
        )
    return page.answer(found, key=lambda entry: entry.id)
