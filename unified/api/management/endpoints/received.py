"""`/api/webhooks`: what was received: events that wait, dead letters, and how they are applied once more."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, get_args
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from unified.api.management.access.callers import Caller
from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.endpoints.webhooks import Reader, Writer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.connections.rows import connection_key
from unified.store.inbox import backlog, dead_letters, horizon
from unified.store.inbox import events as inbox
from unified.store.inbox.backlog import Waiting
from unified.store.inbox.dead_letters import DeadLetter, State

routes = router("/api", "Received events")


class Replay(BaseModel):
    """What to apply once more: dead letters by id, all of them, or whatever was received in a span of time."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[
        list[UUID] | None,
        Field(
            min_length=1, max_length=1_000, description="Dead letters; null takes all that are not replayed."
        ),
    ] = None
    since: Annotated[
        AwareDatetime | None, Field(description="Instead: all events received since then and still kept.")
    ] = None
    until: Annotated[AwareDatetime | None, Field(description="Up to then; null up to now.")] = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Replay":
        if (self.ids and self.since) or (self.until and not self.since):
            msg = "give ids, or since with or without until"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvents:
    """What a connection has to apply, and what it could not."""

    connection_id: UUID
    events: Annotated[int, Field(description=f"Events in the inbox, counted up to {backlog.MOST_COUNTED:,}.")]
    oldest_at: Annotated[datetime | None, Field(description="When the first of them was received.")]
    held: Annotated[
        int,
        Field(
            description=f"Events that are stored and can't be read yet, counted up to {backlog.MOST_COUNTED:,}: they "
            "wait for a transaction that is open somewhere on the database server."
        ),
    ]
    held_since: Annotated[datetime | None, Field(description="When the first of these was received.")]
    held_by: Annotated[str | None, Field(description="That transaction, and how to end it.")]
    dead_letters: Annotated[
        dict[State, int],
        Field(description="By state: tried again by themselves, given up, or applied since."),
    ]
    error: Annotated[str | None, Field(description="Why they wait, where the connection can't be used.")]
    retry_at: Annotated[datetime | None, Field(description="When they are tried again in that case.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The outcome of a replay."""

    waiting: Annotated[int, Field(description="How many wait for the next drain now.")]


@routes.post("/connectors/configs/{connection_id}/webhooks/replay", status_code=202, response_model=Replayed)
async def replay_events(caller: Writer, services: Use, connection_id: UUID, wanted: Replay) -> Response:
    """Have dead letters tried again, or events applied once more. Done twice it changes nothing."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    now = (await services.db.clock())()
    if wanted.since:
        count = await inbox.replay(services.db, connection, wanted.since, wanted.until or now)
    else:
        count = await dead_letters.replay(services.db, connection, now, ids=wanted.ids or ())
    return json_answer(Replayed(waiting=count), 202)


@routes.get("/webhooks/waiting", response_model=list[WaitingEvents])
async def list_waiting(caller: Reader, services: Use) -> Response:
    """Connections that have events waiting, those too that can't be read yet, or dead letters."""
    return json_answer(await waiting_events(caller, services))


async def waiting_events(caller: Caller, services: Services) -> list[WaitingEvents]:
    """What the connections of the caller's workspace have to apply, and what they could not."""
    now = (await services.db.clock())()
    async with services.db.workspace(caller.workspace_id) as conn:
        waiting = {one.connection.id: one for one in await backlog.waiting_in(conn, now)}
        letters = await dead_letters.counts_by_connection(conn)
    async with services.db.scheduler() as conn:
        held_up = await horizon.held_up(conn, workspace_id=caller.workspace_id)
    return [
        _waiting(connection_id, waiting.get(connection_id), letters.get(connection_id, {}), held_up)
        for connection_id in sorted({*waiting, *letters, *(held_up.connections if held_up else ())})
    ]


@routes.get("/webhooks/dead-letters", response_model=Page[DeadLetter])
async def list_dead_letters(
    caller: RecordReader,
    services: Use,
    page: AskedPage,
    connection_id: Annotated[UUID | None, Query(description="Only this connection's.")] = None,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
) -> Response:
    """Events that could not be applied, and why; those received last first."""
    async with services.db.workspace(caller.workspace_id) as conn:
        if connection_id:
            await connection_key(conn, connection_id)
        found = await dead_letters.page(
            conn,
            connection_id=connection_id,
            state=state,
            before=page.after(tuple[datetime, UUID, UUID]),
            limit=page.fetch,
        )
    return page.answer(found, lambda letter: (letter.received_at, letter.connection_id, letter.id))


def _waiting(
    connection_id: UUID,
    waiting: Waiting | None,
    letters: Mapping[State, int],
    held_up: horizon.HeldUp | None,
) -> WaitingEvents:
    held = held_up.connections.get(connection_id) if held_up else None
    trouble = waiting.trouble if waiting else None
    return WaitingEvents(
        connection_id=connection_id,
        events=waiting.events if waiting else 0,
        oldest_at=waiting.oldest_at if waiting else None,
        held=held.events if held else 0,
        held_since=held.oldest_at if held else None,
        held_by=held_up.by if held and held_up else None,
        dead_letters={state: letters.get(state, 0) for state in get_args(State)},
        error=trouble.error if trouble else None,
        retry_at=trouble.retry_at if trouble else None,
    )
