"""`/`: how the whole workspace stands: what needs a person, how fresh everything is, what the last day did."""

from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from fastapi import Request, Response

from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.services import Use
from unified.api.pages import chart
from unified.api.pages.connections.connection import health
from unified.api.pages.route import router
from unified.api.pages.view import render
from unified.store.connections import overview
from unified.store.records.counts import invoiced

_TROUBLES_LISTED = 10
_CURRENCIES_SHOWN = 6

routes = router()


@routes.get("/")
async def show(request: Request, caller: Reader, services: Use) -> Response:
    """The workspace at a glance."""
    now = datetime.now(UTC)
    month = now.date().replace(day=1)
    first = date(month.year - (month.month < chart.MONTHS), month.month % chart.MONTHS + 1, 1)
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=chart.HOURS - 1)
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await overview.overview(conn)
        troubles = await overview.in_trouble(conn, _TROUBLES_LISTED) if found.in_trouble else []
        hours = await overview.hours(conn, since)
        sums = await invoiced.between(conn, first, month) if "records:read" in caller.permissions else []
    by_currency = [(currency, list(of_it)) for currency, of_it in groupby(sums, lambda one: one.currency)]
    by_currency.sort(key=lambda pair: -sum(one.invoices for one in pair[1]))
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
        revenue=[(currency, chart.invoiced(of_it)) for currency, of_it in by_currency],
        currencies_shown=_CURRENCIES_SHOWN,
        rate=100 * sum(hour.succeeded for hour in hours) / pulls if pulls else None,
        pulls=pulls,
        dagster_url=services.settings.management.dagster_url,
    )
