"""`/api/identities/…`: one customer across sources: golden values, records with reasons, merges and splits.

The list of identities is made with the other lists: :mod:`unified.api.management.endpoints.records`.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller
from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.connections import Writer
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import golden as identities
from unified.store.identities.decisions import Decision
from unified.store.identities.golden import GoldenCustomer, IdentityRecord, RefusedGroup
from unified.sync.identities.explain import Explanation
from unified.sync.identities.explain import explain as explain_records
from unified.sync.identities.resolve import IdentitiesBusyError, settle

routes = router("/api/identities", "Identities")


@dataclass(frozen=True, slots=True)
class IdentityDetail:
    """An identity with all that is known of it."""

    identity_id: UUID
    former_ids: list[UUID]
    golden: GoldenCustomer | None
    records: list[IdentityRecord]
    decisions: list[Decision]


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided.

    Attributes:
        identity_ids: The identities that the records concerned are in now.
        is_settled: False if a run is under way: then it takes effect with that one or the next.
    """

    identity_ids: list[UUID]
    is_settled: bool


class Merge(BaseModel):
    """Identities that are one customer."""

    model_config = ConfigDict(extra="forbid")

    identity_ids: Annotated[
        list[UUID],
        Field(
            min_length=2,
            max_length=20,
            description="Identities, former ids of such, or records' `unified_id`s.",
        ),
    ]
    note: Annotated[str | None, Field(max_length=1_000, description="Why, for those who come after.")] = None


class Split(BaseModel):
    """Records of an identity that are another customer than the rest."""

    model_config = ConfigDict(extra="forbid")

    records: Annotated[
        list[UUID], Field(min_length=1, max_length=100, description="`unified_id`s of those that leave.")
    ]
    note: Annotated[str | None, Field(max_length=1_000, description="Why, for those who come after.")] = None


@routes.get("/refused", response_model=list[RefusedGroup])
async def list_refused_groups(caller: RecordReader, services: Use) -> Response:
    """List the largest groups of linked records that are too many to be one customer."""
    async with services.db.workspace(caller.workspace_id) as conn:
        return json_answer(await identities.refused_groups(conn))


@routes.get("/explain", response_model=Explanation)
async def explain(
    caller: RecordReader,
    services: Use,
    one: Annotated[UUID, Query(description="A record's `unified_id`.")],
    other: Annotated[UUID, Query(description="Another's.")],
) -> Response:
    """Say why two records are one customer, or why not."""
    return json_answer(await explain_records(services.db, caller.workspace_id, one, other))


@routes.post("/merge", response_model=Decided)
async def merge(caller: Writer, services: Use, body: Merge) -> Response:
    """Decide that identities are one customer. That holds until somebody splits them."""
    return json_answer(await merged(caller, services, body))


async def merged(caller: Caller, services: Services, body: Merge) -> Decided:
    """Decide that identities are one customer."""
    async with services.db.workspace(caller.workspace_id) as conn:
        records = await identity_decisions.merge(
            conn, caller.workspace_id, body.identity_ids, actor=caller.actor, note=body.note
        )
    return await _settled(services, caller.workspace_id, records)


@routes.get("/{identity_id}", response_model=IdentityDetail)
async def show(caller: RecordReader, services: Use, identity_id: UUID) -> Response:
    """Show an identity by its id, a former id, or the `unified_id` of one of its records."""
    return json_answer(await read_identity(services, caller.workspace_id, identity_id))


@routes.post("/{identity_id}/split", response_model=Decided)
async def split(caller: Writer, services: Use, identity_id: UUID, body: Split) -> Response:
    """Decide that some records are another customer than the rest. No rule brings them together again."""
    return json_answer(await divided(caller, services, identity_id, body))


async def divided(caller: Caller, services: Services, identity_id: UUID, body: Split) -> Decided:
    """Decide that some records of an identity are another customer than the rest."""
    async with services.db.workspace(caller.workspace_id) as conn:
        records = await identity_decisions.split(
            conn, caller.workspace_id, identity_id, body.records, actor=caller.actor, note=body.note
        )
    return await _settled(services, caller.workspace_id, records)


async def read_identity(services: Services, workspace_id: UUID, reference: UUID) -> IdentityDetail:
    """An identity by its id, a former id, or the ``unified_id`` of one of its records.

    Raises:
        IdentityNotFoundError: If there is none.
    """
    async with services.db.workspace(workspace_id) as conn:
        found = await identities.find(conn, reference)
        records = await identities.records(conn, found)
        return IdentityDetail(
            found,
            await identities.former_ids(conn, found),
            await identities.golden(conn, found),
            records,
            await identity_decisions.decisions(conn, [record.unified_id for record in records]),
        )


async def _settled(services: Services, workspace_id: UUID, records: list[UUID]) -> Decided:
    """Have a decision take effect, and say where its records are then."""
    is_settled = True
    try:
        await settle(services.db, workspace_id, records)
    except IdentitiesBusyError:
        is_settled = False
    async with services.db.workspace(workspace_id) as conn:
        ids = {await identities.find(conn, record) for record in records}
    return Decided(sorted(ids), is_settled)
