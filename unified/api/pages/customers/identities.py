"""`/identities` and `/identities/{id}`: customers that are one across systems, why, and what a person says to that."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import identities as api
from unified.api.management.endpoints.connections.connections import Writer
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.endpoints.records.records import read_page
from unified.api.management.paging import AskedPage
from unified.api.management.problems import Problem, explained
from unified.api.management.services import Services, Use
from unified.api.pages.records import address
from unified.api.pages.route import Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.store.errors import StoreError
from unified.store.identities import golden
from unified.store.identities.golden import IdentityNotFoundError
from unified.store.lists.declared import LISTS
from unified.sync.identities.explain import explain

SEARCHED = ("search", "least_records")
_SHOWN_IN_PLACE = frozenset({404, 409, 410, 422})
_DONE = {
    "merge": "They are one customer now, until somebody splits them.",
    "split": "Those records are another customer now. No rule brings them together again.",
    "later": "It was decided. A run is under way, and it takes effect with that one or the next.",
}

routes = router()


@routes.get("/identities")
async def list_identities(request: Request, caller: RecordReader, services: Use, page: AskedPage) -> Response:
    """A page of identities, or of those that are searched for."""
    given = request.query_params.multi_items()
    filled = [(name, value.strip()) for name, value in given if value.strip()]
    if filled != given:
        return see_other(f"/identities?{urlencode(filled)}")
    found, problem = None, None
    try:
        found = await read_page(request, caller, services, LISTS["identities"], page)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        problem = refusal(error, _SHOWN_IN_PLACE)
    async with services.db.workspace(caller.workspace_id) as conn:
        refused = await golden.refused_groups(conn)
    return render(
        request,
        "identities.html",
        identities=[row.fields for row in found.rows] if found else [],
        following=page.address(found.next) if found and found.next else None,
        searched=SEARCHED,
        query=dict(filled),
        refused=refused,
        problem=problem,
    )


@routes.post("/identities/merge")
async def merge(request: Request, caller: Writer, services: Use, form: Form) -> Response:
    """Decide that the identities that were ticked, or named, are one customer."""
    named = [name.removeprefix("identity.") for name in form if name.startswith("identity.")]
    named += form.get("other", "").split()
    back = _back_to(form.get("back", ""))
    try:
        body = api.Merge(identity_ids=named, note=form.get("note", "").strip() or None)  # type: ignore[arg-type]
        decided = await api.merged(caller, services, body)
    except ValidationError:
        problem = Problem(422, "Name two to twenty identities, by their ids.")
        return await _refused(request, caller, services, problem, back)
    except StoreError as error:
        return await _refused(request, caller, services, explained(error), back)
    return see_other(
        f"/identities/{decided.identity_ids[0]}?done={'merge' if decided.is_settled else 'later'}"
    )


@routes.get("/identities/{identity_id}")
async def show(
    request: Request,
    caller: RecordReader,
    services: Use,
    identity_id: UUID,
    done: str = "",
    why: UUID | None = None,
) -> Response:
    """One identity; of one of its records, why it is the same customer as the first."""
    return await _page(request, caller, services, identity_id, notice=_DONE.get(done), why=why)


@routes.post("/identities/{identity_id}/split")
async def split(request: Request, caller: Writer, services: Use, identity_id: UUID, form: Form) -> Response:
    """Decide that the records that were ticked are another customer than the rest."""
    named: Any = [name.removeprefix("record.") for name in form if name.startswith("record.")]
    try:
        body = api.Split(records=named, note=form.get("note", "").strip() or None)
        decided = await api.divided(caller, services, identity_id, body)
    except ValidationError:
        problem = Problem(422, "Tick the records that are another customer.")
        return await _refused(request, caller, services, problem, identity_id)
    except StoreError as error:
        return await _refused(request, caller, services, explained(error), identity_id)
    return see_other(f"/identities/{identity_id}?done={'split' if decided.is_settled else 'later'}")


def _back_to(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _refused(
    request: Request, caller: Caller, services: Services, problem: Problem, identity_id: UUID | None
) -> Response:
    """Why nothing was decided, on the identity's own page where there is one."""
    if (
        identity_id is None
        or problem.status not in _SHOWN_IN_PLACE
        or "records:read" not in caller.permissions
    ):
        raise problem
    return await _page(request, caller, services, identity_id, problem=problem)


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    identity_id: UUID,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    why: UUID | None = None,
) -> Response:
    detail = await api.read_identity(services, caller.workspace_id, identity_id)
    explanation = None
    if why is not None:
        first = next(
            (one.unified_id for one in detail.records if one.rule is None), detail.records[0].unified_id
        )
        try:
            explanation = await explain(services.db, caller.workspace_id, first, why)
        except IdentityNotFoundError as error:
            problem = explained(error)
    return render(
        request,
        "identity.html",
        identity=detail,
        ids={one.unified_id: one for one in detail.records},
        why=why,
        explanation=explanation,
        address=address,
        notice=notice,
        problem=problem,
    )
