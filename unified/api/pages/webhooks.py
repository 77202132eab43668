"""`/webhooks`: endpoints, what waits, and dead letters with their replay."""

from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from pydantic import SecretStr, ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import webhooks as api
from unified.api.management.endpoints.received import WaitingEvents, waiting_events
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router
from unified.api.pages.view import CONNECTIONS_SUGGESTED, render, see_other
from unified.kit.declarations import Capability
from unified.kit.registry import discover_adapters
from unified.store.connections import rows as connections
from unified.store.inbox import dead_letters
from unified.store.inbox.endpoints import Endpoints
from unified.store.lists import pages

_ENDPOINTS_LISTED, _WAITING_LISTED, _LETTERS_LISTED = 50, 50, 50
_DONE = {
    "replay": "They are tried again with the next drain, within seconds.",
    "secret": "The secret was stored; a former one stays good for a day.",
}
_NOT_THERE = Problem(404, "There is no connection of that name.")

routes = router()


@routes.get("/webhooks")
async def show(
    request: Request,
    caller: api.Reader,
    services: Use,
    done: str = "",
    connection: str = "",
    after: UUID | None = None,
) -> Response:
    """Endpoints, of one connection where it is named; what waits, and dead letters."""
    try:
        return await _page(
            request, caller, services, notice=_DONE.get(done), connection=connection.strip(), after=after
        )
    except connections.ConnectionNotFoundError:
        return await _page(request, caller, services, problem=_NOT_THERE)


@routes.post("/webhooks")
async def add(request: Request, caller: api.Writer, services: Use, form: Form) -> Response:
    """Add an endpoint, and show its URL and secret this once."""
    try:
        async with services.db.workspace(caller.workspace_id) as conn:
            (connection_id,) = await pages.connection_ids(conn, [form.get("connection", "").strip()])
            chosen = await connections.read_connection(conn, connection_id)
    except connections.ConnectionNotFoundError:
        return await _page(request, caller, services, problem=_NOT_THERE)
    types = [part.strip() for part in form.get("event_types", "").split(",") if part.strip()]
    secret = form.get("secret", "").strip()
    try:
        new = api.NewWebhook(event_types=types, secret=SecretStr(secret) if secret else None)
        made = await api.make_webhook(caller, services, chosen.id, new)
    except ValidationError:
        problem = Problem(422, "An event type or the secret is not usable.")
        return await _page(request, caller, services, problem=problem, form=form)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        return await _page(request, caller, services, problem=refusal(error), form=form)
    return render(
        request, "webhook_made.html", made=made, connection=chosen, has_secret=bool(secret or made.secret)
    )


@routes.post("/connectors/{connection_id}/webhooks/{webhook_id}/secret")
async def put_secret(
    request: Request, caller: api.Writer, services: Use, connection_id: UUID, webhook_id: UUID, form: Form
) -> Response:
    """Give an endpoint the secret that its provider shows, or the next one."""
    endpoint = await Endpoints(services.db, services.credentials).get(caller.workspace_id, webhook_id)
    if endpoint.connection_id != connection_id:
        raise NO_SUCH_PAGE
    if not (secret := form.get("secret", "").strip()):
        return await _page(request, caller, services, problem=Problem(422, "No secret was entered."))
    await api.roll_secret(caller, services, webhook_id, api.NewSecret(secret=SecretStr(secret)))
    return see_other("/webhooks?done=secret")


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    form: dict[str, str] | None = None,
    connection: str = "",
    after: UUID | None = None,
) -> Response:
    receiving = [
        name
        for name, adapter in discover_adapters().items()
        if Capability.WEBHOOK in adapter.capabilities and adapter.verifiers
    ]
    waiting = sorted(await waiting_events(caller, services), key=_waits, reverse=True)
    async with services.db.workspace(caller.workspace_id) as conn:
        only = (await pages.connection_ids(conn, [connection]))[0] if connection else None
        suggested = await connections.names(conn, connectors=receiving, limit=CONNECTIONS_SUGGESTED)
        letters = (
            await dead_letters.page(conn, limit=_LETTERS_LISTED + 1)
            if "records:read" in caller.permissions
            else []
        )
    endpoints = await Endpoints(services.db, services.credentials).of_workspace(
        caller.workspace_id, connection_id=only, after=after, limit=_ENDPOINTS_LISTED + 1
    )
    listed = endpoints[:_ENDPOINTS_LISTED]
    mentioned = {
        *(one.connection_id for one in listed),
        *(one.connection_id for one in waiting[:_WAITING_LISTED]),
        *(one.connection_id for one in letters),
    }
    async with services.db.workspace(caller.workspace_id) as conn:
        names = {one.id: one.name for one in await connections.some(conn, mentioned)}
    query = {"connection": connection} if connection else {}
    return render(
        request,
        "webhooks.html",
        names=names,
        suggested=suggested,
        connection=connection,
        endpoints=listed,
        first=f"/webhooks?{urlencode(query)}",
        is_first=after is None,
        following=f"/webhooks?{urlencode({**query, 'after': listed[-1].id})}"
        if len(endpoints) > len(listed)
        else None,
        waiting=waiting[:_WAITING_LISTED],
        has_more_waiting=len(waiting) > _WAITING_LISTED,
        letters=letters[:_LETTERS_LISTED],
        has_more_letters=len(letters) > _LETTERS_LISTED,
        notice=notice,
        problem=problem,
        form={name: value for name, value in (form or {}).items() if name != "secret"},
    )


def _waits(one: WaitingEvents) -> int:
    """How much of a connection waits, for the busiest to come first."""
    return one.events + one.held + one.dead_letters["waiting"] + one.dead_letters["dead"]
