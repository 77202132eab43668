"""`/api/routes`: standing orders to push customers from one connection to another; preview, run, and decisions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller
from unified.api.management.answers import IfMatch, json_answer, no_content
from unified.api.management.endpoints.connections.connections import Reader, Writer
from unified.api.management.endpoints.connections.syncs import RecordReader, Syncer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.routes import outbox, review
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route, RouteStatus
from unified.store.routes.settings import Direction, OnDelete, OnMissing, Policy
from unified.store.routes.sides import Side
from unified.sync.errors import RouteError
from unified.sync.routes.orders import FieldRule, FilterCondition, Orders
from unified.sync.routes.preview import preview_aside

PREVIEW_SECONDS = 30.0

routes = router("/api/routes", "Routes")


class NewRoute(Orders):
    """A route to add."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="It never changes.", examples=["crm"]
        ),
    ]
    source_connection_id: Annotated[UUID, Field(description="Where customers come from.")]
    target_connection_id: Annotated[UUID, Field(description="Where they go to.")]
    source_stream: Annotated[
        str | None,
        Field(
            max_length=40, description="The source's stream of customers; by default its only or first one."
        ),
    ] = None
    target_stream: Annotated[
        str | None, Field(max_length=40, description="The target's stream of customers, likewise.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEntry:
    """A route, and how its last run went."""

    id: UUID
    key: Annotated[str, Field(description="`workspace/name`.", examples=["acme/crm"])]
    name: str
    source: Annotated[str, Field(description="Name of the connection that customers come from.")]
    source_connection_id: UUID
    source_stream: Annotated[
        str, Field(description="The stream that they come from.", examples=["customers"])
    ]
    target: Annotated[str, Field(description="Name of the connection that they go to.")]
    target_connection_id: UUID
    target_stream: Annotated[str, Field(description="The stream that they go to.", examples=["customers"])]
    fields: list[FieldRule]
    direction: Direction
    filter: list[FilterCondition]
    conflict_policy: Policy
    match_keys: list[str]
    on_delete: OnDelete
    on_missing: OnMissing
    interval_minutes: int | None
    is_active: Annotated[bool, Field(description="Whether it runs by itself.")]
    status: Annotated[
        RouteStatus, Field(description="`idle` before the first run, then as the last one went.")
    ]
    started_at: datetime | None
    finished_at: datetime | None
    requested_at: Annotated[datetime | None, Field(description="When a run was asked for, until it begins.")]
    error_message: Annotated[str | None, Field(description="Why the last run ended early.")]
    waits_until: Annotated[
        datetime | None,
        Field(
            description="Before then it does not run by itself, as a provider that it asks wants to be left alone; "
            "null where none does, or it is paused."
        ),
    ]
    last_run: Annotated[dict[str, int], Field(description="What the last run did, in records.")]
    records: Annotated[
        dict[str, int] | None,
        Field(
            description="Links (`linked`, `unlinked`) and what waits (`refused`, `review` …); null in a list."
        ),
    ]
    version: Annotated[int, Field(description="Rises with each change of what it does; the ETag.")]


class WantedRun(BaseModel):
    """Which kind of run is wanted."""

    model_config = ConfigDict(extra="forbid")

    retry_refused: Annotated[
        bool, Field(description="Try again what was refused, also where it has not changed.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field of a previewed push."""

    field: Annotated[str, Field(description="As it is called where it is written.")]
    before: Annotated[Any, Field(description="What is there now.")]
    after: Annotated[Any, Field(description="What would be.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedPush:
    """What a run would push of one record."""

    side: Annotated[Side, Field(description="Where the record is that travels.")]
    record_id: str
    name: str | None
    operation: Annotated[
        str,
        Field(
            description="`create`, `update`, `delete`; `link`, `review` or `refused` where nothing is sent."
        ),
    ]
    other_id: Annotated[str | None, Field(description="Its counterpart.")]
    fields: list[FieldChange]
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRecord:
    """A record that a person may decide about."""

    side: Side
    record_id: str
    state: Annotated[
        Literal["review", "refused", "skipped", "unlinked"],
        Field(
            description="Why it is here: not certain, refused, skipped before, or its counterpart is gone."
        ),
    ]
    reason: str | None
    candidates: Annotated[list[dict[str, Any]], Field(description="What it may be the same as.")]
    since: datetime


class Verdict(BaseModel):
    """What a person decides about a record."""

    model_config = ConfigDict(extra="forbid")

    side: Side = "source"
    record_id: Annotated[str, Field(min_length=1, max_length=500)]
    decision: Annotated[
        Literal["link", "create", "skip"],
        Field(description="It is the same as `other_id`; it is another one; leave it alone."),
    ]
    other_id: Annotated[str | None, Field(min_length=1, max_length=500, description="For `link`.")] = None


@routes.post("", status_code=201, response_model=RouteEntry)
async def add_route(caller: Writer, services: Use, new: NewRoute) -> Response:
    """Add a route between two connections. A circle of routes is refused with the way that it would take."""
    source = await services.registry.get_connection(caller.workspace_id, new.source_connection_id)
    target = await services.registry.get_connection(caller.workspace_id, new.target_connection_id)
    route = await _routes(services, caller).add(
        new.name,
        source,
        target,
        new.settings(),
        from_stream=new.source_stream,
        to_stream=new.target_stream,
    )
    return await _shown(services, route, 201)


@routes.get("", response_model=Page[RouteEntry])
async def list_routes(caller: Reader, services: Use, page: AskedPage) -> Response:
    """The workspace's routes, by name."""
    found = await Routes(services.db).of_workspace(
        caller.workspace_id, after=page.after(str) or "", limit=page.fetch
    )
    return page.answer([_entry(route, None) for route in found], lambda entry: entry["name"])


@routes.get("/{route_id}", response_model=RouteEntry)
async def get_route(caller: Reader, services: Use, route_id: UUID) -> Response:
    """A route, how its last run went, and what waits."""
    return await _shown(services, await _found(services, caller, route_id))


@routes.put("/{route_id}", response_model=RouteEntry)
async def change_route(
    caller: Writer, services: Use, route_id: UUID, if_match: IfMatch, wanted: Orders
) -> Response:
    """Replace what a route does; its next run looks at all records anew."""
    route = await _found(services, caller, route_id)
    changed = await _routes(services, caller).change(route, wanted.settings(), if_version=if_match)
    return await _shown(services, changed)


@routes.delete("/{route_id}", status_code=204)
async def remove_route(caller: Writer, services: Use, route_id: UUID) -> Response:
    """Remove a route with its links; records stay on both sides."""
    await _routes(services, caller).remove(await _found(services, caller, route_id))
    return no_content()


@routes.post("/{route_id}/pause", response_model=RouteEntry)
async def pause_route(caller: Writer, services: Use, route_id: UUID) -> Response:
    """Stop running it by itself; it still runs when asked."""
    return await _activated(services, caller, route_id, is_active=False)


@routes.post("/{route_id}/resume", response_model=RouteEntry)
async def resume_route(caller: Writer, services: Use, route_id: UUID) -> Response:
    """Run it by itself again."""
    return await _activated(services, caller, route_id, is_active=True)


@routes.post("/{route_id}/run", status_code=202, response_model=RouteEntry)
async def run_route_now(
    caller: Syncer, services: Use, route_id: UUID, wanted: WantedRun | None = None
) -> Response:
    """Ask Dagster for a run, paused or not. It begins within seconds, or once the run under way has ended."""
    route = await _found(services, caller, route_id)
    if wanted is not None and wanted.retry_refused:
        async with services.db.workspace(caller.workspace_id) as conn:
            await outbox.ask_again(conn, route)
    return await _shown(services, await _routes(services, caller).request(route), 202)


@routes.post("/{route_id}/preview", response_model=list[PreviewedPush])
async def preview(
    caller: RecordReader,
    services: Use,
    route_id: UUID,
    limit: Annotated[int, Query(ge=1, le=100, description="Records at most.")] = 20,
) -> Response:
    """Say what a run would push, field by field. Both systems are read; nothing is sent."""
    return json_answer(await previewed(caller, services, route_id, limit))


async def previewed(caller: Caller, services: Services, route_id: UUID, limit: int) -> list[PreviewedPush]:
    """What a run would push, of so many records at most.

    Raises:
        Problem: 409 where the two systems do not say, or not in time.
    """
    route = await _found(services, caller, route_id)
    try:
        found = await preview_aside(
            services.db.url,
            services.provider,
            route,
            actor=caller.actor,
            limit=limit,
            seconds=PREVIEW_SECONDS,
        )
    except RouteError as error:
        raise Problem(409, str(error)) from None
    except TimeoutError:
        raise Problem(
            409, f"The two systems did not answer within {PREVIEW_SECONDS:.0f} s; ask for fewer records."
        ) from None
    return [
        PreviewedPush(
            side=one.side,
            record_id=one.record_id,
            name=one.name,
            operation=one.operation,
            other_id=one.other_id,
            fields=[
                FieldChange(field=name, before=before, after=after)
                for name, (before, after) in one.fields.items()
            ],
            reason=one.reason,
        )
        for one in found
    ]


@routes.get("/{route_id}/review", response_model=Page[WaitingRecord])
async def list_waiting(caller: RecordReader, services: Use, route_id: UUID, page: AskedPage) -> Response:
    """Records that a person may decide about, by side and id."""
    route = await _found(services, caller, route_id)
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await review.waiting(
            conn, route, after=page.after(tuple[str, str]) or ("", ""), limit=page.fetch
        )
    return page.answer(found, lambda one: (one.side, one.record_id))


@routes.post("/{route_id}/review", status_code=204)
async def decide(caller: Syncer, services: Use, route_id: UUID, verdict: Verdict) -> Response:
    """Decide about a record; the next run acts on that, and the decision stays."""
    if (verdict.decision == "link") != (verdict.other_id is not None):
        raise Problem(
            422, "other_id names the record to link with, and belongs to the decision `link` alone."
        )
    route = await _found(services, caller, route_id)
    async with services.db.workspace(caller.workspace_id) as conn:
        await review.decide(conn, route, verdict.side, verdict.record_id, verdict.decision, verdict.other_id)
    return no_content()


def _routes(services: Services, caller: Caller) -> Routes:
    return Routes(services.db, actor=caller.actor)


async def _found(services: Services, caller: Caller, route_id: UUID) -> Route:
    return await Routes(services.db).get(caller.workspace_id, route_id)


async def _activated(services: Services, caller: Caller, route_id: UUID, *, is_active: bool) -> Response:
    route = await _found(services, caller, route_id)
    return await _shown(services, await _routes(services, caller).activate(route, is_active=is_active))


async def _shown(services: Services, route: Route, status: int = 200) -> Response:
    async with services.db.workspace(route.workspace_id) as conn:
        records = await review.counts(conn, route)
    where = {"location": f"{routes.prefix}/{route.id}"} if status == 201 else {}  # noqa: PLR2004
    return json_answer(_entry(route, records), status, version=route.version, headers=where)


def _entry(route: Route, records: dict[str, int] | None) -> dict[str, Any]:
    settings = route.settings
    interval = settings.interval
    return {
        "id": route.id,
        "key": route.key,
        "name": route.name,
        "source": route.source,
        "source_connection_id": route.source_connection_id,
        "target": route.target,
        "target_connection_id": route.target_connection_id,
        "fields": settings.fields,
        "direction": settings.direction,
        "filter": settings.filter,
        "conflict_policy": settings.conflict_policy,
        "match_keys": settings.match_keys,
        "on_delete": settings.on_delete,
        "on_missing": settings.on_missing,
        "interval_minutes": None if interval is None else interval // timedelta(minutes=1),
        "is_active": route.is_active,
        "status": route.status,
        "started_at": route.started_at,
        "finished_at": route.finished_at,
        "requested_at": route.requested_at,
        "error_message": route.error_message,
        "waits_until": route.waits_until,
        "last_run": route.counts,
        "records": records,
        "version": route.version,
    }
