"""`/subscriptions`: URLs to which what changes is delivered, how each stands, and what it did not take."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import subscriptions as api
from unified.api.management.endpoints.webhooks import Reader, Writer
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.store.lists.declared import LISTS
from unified.store.subscriptions import progress
from unified.store.subscriptions.rows import Subscription, SubscriptionNotFoundError, filters_of
from unified.sync.subscriptions.sending import send_test

_MOST_LISTED = 200
_LETTERS_LISTED = 50
_DONE = {
    "change": "It was changed, and goes on from where it stood.",
    "pause": "It is paused; what changes meanwhile comes afterwards.",
    "resume": "It goes on where it stood, within seconds.",
    "replay": "What was not taken is sent again, within seconds.",
    "test": "The receiver took the test message.",
    "remove": "It was removed, with what it could not deliver.",
}

routes = router()


@routes.get("/subscriptions")
async def show(request: Request, caller: Reader, services: Use, done: str = "") -> Response:
    """The workspace's subscriptions, and their dead letters."""
    return await _page(request, caller, services, notice=_DONE.get(done))


@routes.post("/subscriptions")
async def add(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Add a subscription, and show its secret this once."""
    try:
        new = api.NewSubscription(
            name=form.get("name", "").strip(),
            list=form.get("list", ""),
            from_the_start="from_the_start" in form,
            **_destination(form),
        )
        made = await api.make_subscription(caller, services, new)
    except Exception as error:  # noqa: BLE001 - what is not about the form is raised again
        return await _page(request, caller, services, problem=_problem(error), form=form)
    return _secret(request, "Subscription added", made.url, made.secret)


@routes.post("/subscriptions/{subscription_id}/change")
async def change(
    request: Request, caller: Writer, services: Use, subscription_id: UUID, form: Form
) -> Response:
    """Deliver other records, or to another URL, from where it stands."""
    try:
        wanted = api.SubscriptionChange(**_destination(form))
        await api.make_change(caller, services, subscription_id, wanted)
    except SubscriptionNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001 - what is not about the form is raised again
        return await _page(request, caller, services, problem=_problem(error))
    return see_other("/subscriptions?done=change")


@routes.post("/subscriptions/{subscription_id}/roll")
async def roll(
    request: Request, caller: Writer, services: Use, subscription_id: UUID, form: Form
) -> Response:
    """Give it another secret, which is shown this once."""
    wanted = api.SubscriptionSecret(keep_former_minutes=0) if "leaked" in form else api.SubscriptionSecret()
    of, made = await api.roll(caller, services, subscription_id, wanted)
    return _secret(request, "New secret", of.url, made.secret, former_until=made.former_until)


@routes.post("/subscriptions/{subscription_id}/{action}")
async def act(
    request: Request,
    caller: Writer,
    services: Use,
    subscription_id: UUID,
    action: Literal["pause", "resume", "replay", "test", "remove"],
    form: Form,  # noqa: ARG001 - it is read, and holds the session's token alone
) -> Response:
    """Do with a subscription what the API's route of that name does."""
    own = api.subscriptions_of(caller, services)
    found = await own.get(caller.workspace_id, subscription_id)
    match action:
        case "pause" | "resume":
            await own.set_active(found, is_active=action == "resume")
        case "replay":
            await own.replay(found)
        case "remove":
            await own.remove(found)
        case "test":
            outcome = await send_test(own, found)
            if outcome.verdict != "taken":
                problem = Problem(409, f"{found.name} did not take the test message: {outcome.error}")
                return await _page(request, caller, services, problem=problem)
    return see_other(f"/subscriptions?done={action}")


def _secret(
    request: Request, title: str, url: str, secret: str, *, former_until: datetime | None = None
) -> Response:
    return render(
        request, "subscription_made.html", title=title, url=url, secret=secret, former_until=former_until
    )


def _destination(form: Mapping[str, str]) -> dict[str, Any]:
    """Where a form wants what delivered.

    Raises:
        InvalidSettingError: If a filter is not FILTER=VALUE.
    """
    lines = (line.strip() for line in form.get("filters", "").splitlines())
    return {"url": form.get("url", "").strip(), "filters": filters_of(line for line in lines if line)}


def _problem(error: Exception) -> Problem:
    """What is wrong with a form; anything else is raised again."""
    if isinstance(error, ValidationError):
        one = error.errors()[0]
        return Problem(422, f"The {one['loc'][0]} can't be used: {one['msg']}.")
    return refusal(error, (404, 409, 422))


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    form: dict[str, str] | None = None,
) -> Response:
    found = await api.subscriptions_of(caller, services).listed(caller.workspace_id, limit=_MOST_LISTED + 1)
    letters = await _letters(caller, services, found) if "records:read" in caller.permissions else []
    return render(
        request,
        "subscriptions.html",
        subscriptions=await api.entries(caller, services, found[:_MOST_LISTED]),
        letters=letters[:_LETTERS_LISTED],
        has_more=len(found) > _MOST_LISTED,
        has_more_letters=len(letters) > _LETTERS_LISTED,
        lists=list(LISTS),
        notice=notice,
        problem=problem,
        form=form or {},
    )


async def _letters(caller: Caller, services: Services, found: list[Subscription]) -> list[dict[str, Any]]:
    """What receivers did not take while they took others, one subscription after the other."""
    letters: list[dict[str, Any]] = []
    async with services.db.workspace(caller.workspace_id) as conn:
        counts = await progress.counts(conn, [one.id for one in found])
        for one in found:
            left = _LETTERS_LISTED + 1 - len(letters)
            if left > 0 and any(counts[one.id].values()):
                page = await progress.page(conn, one, limit=left)
                letters += [{"subscription": one.name, "letter": letter} for letter in page]
    return letters
