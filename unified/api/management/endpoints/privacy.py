"""`/api/privacy`: a person's data deleted on request, and which records stay out since."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.store.privacy import deletion
from unified.store.privacy.deletion import Deleted, Suppressed
from unified.sync import privacy

Guardian = Annotated[Caller, Depends(Rule("privacy:write", in_workspace=True))]
Ids = Annotated[list[UUID], Field(max_length=1_000, description="Customers, by `unified_id`.")]

routes = router("/api/privacy", "Privacy")


class Wanted(BaseModel):
    """Whose data to delete. It stands in the body, so that no address is in a log of URLs."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[
        str | None,
        Field(
            max_length=320,
            pattern="^[^@]+@[^@]+$",
            description="All customers that have this address, and whatever else holds it.",
        ),
    ] = None
    ids: Ids = []
    plan: Annotated[bool, Field(description="Only say what would be done.")] = False

    @model_validator(mode="after")
    def _somebody(self) -> "Wanted":
        if not self.email and not self.ids:
            msg = "give email, ids, or both"
            raise ValueError(msg)
        return self


class Lifted(BaseModel):
    """Records that may come in again."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[Ids, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class LiftedRecords:
    """Those of the records that were suppressed. The next full sync stores what their source still has."""

    records: list[UUID]


@routes.post("/deletions", response_model=Deleted)
async def delete_person(caller: Guardian, services: Use, body: Wanted) -> Response:
    """Empty or remove all that is stored of a person, and keep it out. Done twice it changes nothing more.

    Invoices keep their amounts. The audit log has ids and counts.
    """
    done = await privacy.delete(
        services.db,
        caller.workspace_id,
        email=body.email,
        ids=body.ids,
        actor=caller.actor,
        plan=body.plan,
    )
    return json_answer(done)


@routes.get("/suppressed", response_model=Page[Suppressed])
async def list_suppressed(caller: Guardian, services: Use, page: AskedPage) -> Response:
    """List records that stay out because their persons' data were deleted, by `unified_id`."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await deletion.suppressed(conn, after=page.after(UUID), limit=page.fetch)
    return page.answer(found, key=lambda one: one.unified_id)


@routes.post("/lifted", response_model=LiftedRecords)
async def lift(caller: Guardian, services: Use, body: Lifted) -> Response:
    """Let records come in again."""
    lifted = await deletion.lift(services.db, caller.workspace_id, body.ids, actor=caller.actor)
    return json_answer(LiftedRecords(lifted))
