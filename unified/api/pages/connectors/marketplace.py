"""`/connectors/marketplace`: what can be connected or installed, to which hosts it reaches, and how its syncs go here.

Installing, upgrading and removing are those of the API (`endpoints/connections/documents`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints.connections import documents as api
from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.store.connections import statistics
from unified.store.connections.overview import MOST_PULLS
from unified.sync.connectors.difference import difference
from unified.sync.connectors.installing import as_installed
from unified.sync.connectors.marketplace import Listed, listed

HOME = "/connectors/marketplace"
_SPAN = timedelta(days=30)
_OUTCOMES_LISTED = 100

_DONE = {
    "install": "It is installed. Its assets, schedule and sensor appear by themselves.",
    "upgrade": "It was upgraded, and stored records were mapped anew.",
    "remove": "It was removed.",
}

routes = router()


@routes.get(HOME)
async def browse(
    request: Request, caller: Reader, services: Use, search: str = "", done: str = ""
) -> Response:
    """All connectors, or those that some words are about."""
    found = [one for one in await listed(services.db, caller.workspace_id) if one.is_about(search)]
    async with services.db.workspace(caller.workspace_id) as conn:
        rates = await statistics.success_rates(conn, datetime.now(UTC) - _SPAN)
    return render(
        request, "marketplace.html", found=found, rates=rates, search=search, notice=_DONE.get(done)
    )


@routes.get(f"{HOME}/{{name}}")
async def show(request: Request, caller: Reader, services: Use, name: str, done: str = "") -> Response:
    """One connector."""
    return await _page(request, caller, services, name, notice=_DONE.get(done))


@routes.post(f"{HOME}/{{name}}/install")
async def install(request: Request, caller: api.Installer, services: Use, name: str, form: Form) -> Response:
    """Install a template for the workspace."""

    async def work() -> None:
        wanted = api.WantedDocument(template=name, agreed="agreed" in form)
        await api.install_document(caller, services, wanted)

    return await _carry_out(request, caller, services, name, "install", work)


@routes.post(f"{HOME}/{{name}}/upgrade")
async def upgrade(request: Request, caller: api.Installer, services: Use, name: str, form: Form) -> Response:
    """Replace what is installed by the template, as it was shown."""

    async def work() -> None:
        wanted = api.WantedDocument(template=name, agreed="agreed" in form)
        await api.upgrade_document(caller, services, name, wanted)

    return await _carry_out(request, caller, services, name, "upgrade", work)


@routes.post(f"{HOME}/{{name}}/remove")
async def remove(request: Request, caller: api.Installer, services: Use, name: str) -> Response:
    """Remove a document of the workspace."""

    async def work() -> None:
        await api.remove_document(caller, services, name)

    return await _carry_out(request, caller, services, name, "remove", work)


async def _carry_out(
    request: Request,
    caller: Caller,
    services: Services,
    name: str,
    done: str,
    work: Callable[[], Awaitable[None]],
) -> Response:
    """Do something, and show the connector with the outcome."""
    await _one(caller, services, name)
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        return await _page(request, caller, services, name, problem=refusal(error))
    is_there = any(one.name == name for one in await listed(services.db, caller.workspace_id))
    return see_other(f"{HOME}/{name}?done={done}" if is_there else f"{HOME}?done={done}")


async def _one(caller: Caller, services: Services, name: str) -> Listed:
    for one in await listed(services.db, caller.workspace_id):
        if one.name == name:
            return one
    raise NO_SUCH_PAGE


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    name: str,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
) -> Response:
    one = await _one(caller, services, name)
    async with services.db.workspace(caller.workspace_id) as conn:
        outcomes = await statistics.outcomes(conn, datetime.now(UTC) - _SPAN, name, limit=_OUTCOMES_LISTED)
    changes = None
    if one.installed and one.offered:
        changes = difference(await asyncio.to_thread(as_installed, one.installed), one.offered)
    return render(
        request,
        "connector.html",
        one=one,
        outcomes=outcomes,
        outcomes_listed=_OUTCOMES_LISTED,
        most_pulls=MOST_PULLS,
        changes=changes,
        notice=notice,
        problem=problem,
    )
