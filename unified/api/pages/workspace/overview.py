"""`/`: how the whole workspace stands: what needs a person, how fresh everything is, what the last day did."""

from datetime import UTC, datetime, timedelta

from fastapi import Request, Response

from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.services import Use
from unified.api.pages import chart
from unified.api.pages.connections.connection import health
from unified.api.pages.route import router
from unified.api.pages.view import render
from unified.store.connections import overview

_TROUBLES_LISTED = 10

routes = router()


@routes.get("/")
async def show(request: Request, caller: Reader, services: Use) -> Response:
    """The workspace at a glance."""
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=chart.HOURS - 1)
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await overview.overview(conn)
        troubles = await overview.in_trouble(conn, _TROUBLES_LISTED) if found.in_trouble else []
        hours = await overview.hours(conn, since)
    pulls = sum(hour.succeeded + hour.failed for hour in hours)
    return render(
        request,
        "overview.html",
        found=found,
        troubles=[(one, health(one)) for one in troubles],
        more_troubles=found.in_trouble - len(troubles),
        charts={
            "Records changed": chart.changed(hours, since),
            "Pulls that ended well": chart.success(hours, since),
        }
        if hours
        else {},
        chart=chart,
        rate=100 * sum(hour.succeeded for hour in hours) / pulls if pulls else None,
        pulls=pulls,
        dagster_url=services.settings.management.dagster_url,
    )
