"""`/webhooks`: endpoints, what waits, and dead letters with their replay."""

from uuid import UUID

from fastapi import Request, Response
from pydantic import SecretStr, ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import webhooks as api
from unified.api.management.endpoints.received import waiting_events
from unified.api.management.problems import Problem, explained
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, router
from unified.api.pages.view import render, see_other
from unified.kit.declarations import Capability
from unified.kit.registry import discover_adapters
from unified.store.connections import rows as connections
from unified.store.inbox import dead_letters
from unified.store.inbox.endpoints import Endpoints

_LETTERS_LISTED = 50
_MOST_CONNECTIONS = 1_000
_DONE = {
    "replay": "They are tried again with the next drain, within seconds.",
    "secret": "The secret was stored; a former one stays good for a day.",
}

routes = router()


@routes.get("/webhooks")
async def show(request: Request, caller: api.Reader, services: Use, done: str = "") -> Response:
    """Endpoints, what waits, and dead letters."""
    return await _page(request, caller, services, notice=_DONE.get(done))


@routes.post("/webhooks")
async def add(request: Request, caller: api.Writer, services: Use, form: Form) -> Response:
    """Add an endpoint, and show its URL and secret this once."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await connections.page(conn, limit=_MOST_CONNECTIONS)
    chosen = [one for one in found if str(one.id) == form.get("connection")]
    if not chosen:
        raise Problem(404, "There is no such connection.")
    types = [part.strip() for part in form.get("event_types", "").split(",") if part.strip()]
    secret = form.get("secret", "").strip()
    try:
        new = api.NewWebhook(event_types=types, secret=SecretStr(secret) if secret else None)
        made = await api.make_webhook(caller, services, chosen[0].id, new)
    except ValidationError:
        problem = Problem(422, "An event type or the secret is not usable.")
        return await _page(request, caller, services, problem=problem, form=form)
    except Exception as error:
        problem = explained(error)
        if problem.status not in (409, 422):
            raise
        return await _page(request, caller, services, problem=problem, form=form)
    return render(
        request, "webhook_made.html", made=made, connection=chosen[0], has_secret=bool(secret or made.secret)
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
) -> Response:
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await connections.page(conn, limit=_MOST_CONNECTIONS)
        letters = (
            await dead_letters.page(conn, limit=_LETTERS_LISTED + 1)
            if "records:read" in caller.permissions
            else []
        )
    endpoints = Endpoints(services.db, services.credentials, actor=caller.actor)
    adapters = discover_adapters()
    receiving = [
        one
        for one in found
        if (adapter := adapters.get(one.connector)) and Capability.WEBHOOK in adapter.capabilities
    ]
    return render(
        request,
        "webhooks.html",
        problem.status if problem else 200,
        connections={one.id: one for one in found},
        names={one.id: one.name for one in found},
        receiving=receiving,
        endpoints=await endpoints.of_workspace(caller.workspace_id),
        waiting=await waiting_events(caller, services),
        letters=letters[:_LETTERS_LISTED],
        has_more_letters=len(letters) > _LETTERS_LISTED,
        notice=notice,
        problem=problem.detail if problem else None,
        form={name: value for name, value in (form or {}).items() if name != "secret"},
    )
