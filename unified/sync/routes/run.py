"""A route's run and its preview: lease, state and adapters around the push. Dagster, the CLI and the API call here."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from unified.kit.factory import AdapterFactory
from unified.store.connections import field_rules
from unified.store.database import Database
from unified.store.routes import runs
from unified.store.routes.rows import Route, ends
from unified.store.routes.settings import STREAM
from unified.store.routes.sides import SIDES, Side, other
from unified.sync.bracket import closing, named
from unified.sync.errors import RouteBusyError, RouteError
from unified.sync.routes.end import RouteEnd, names_at
from unified.sync.routes.plan import Plan
from unified.sync.routes.planner import Planner
from unified.sync.routes.push import OnProgress, Push, RouteResult, work


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would push of one record.

    Attributes:
        side: Where the record is that travels.
        record_id: Its id there.
        name: What people know it by.
        operation: ``create``, ``update`` or ``delete``; ``link`` where it is only found; ``review`` and ``refused``
            where nothing would be sent.
        other_id: The record that would be changed, or was found.
        fields: By field: what is there and what would be.
        reason: Why, where it is not obvious.
    """

    side: Side
    record_id: str
    name: str | None
    operation: str
    other_id: str | None = None
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str | None = None


async def run_route(
    db: Database,
    factory: AdapterFactory,
    route: Route,
    *,
    retry_refused: bool = False,
    time_limit: float | None = None,
    on_progress: OnProgress = lambda _: None,
) -> RouteResult:
    """Push what changed since a route's last run.

    Args:
        db: Where the tables are.
        factory: Makes the two connections' adapters.
        route: Which route; also one that is paused.
        retry_refused: Try what was refused before again, also where it has not changed.
        time_limit: Seconds after which no more records are begun; the next run goes on from there.
        on_progress: Called after each commit with the counts so far.

    Returns:
        What was done.

    Raises:
        RouteBusyError: If another process runs it at the moment.
        RouteError: If a connection can't be used, or the database fails. What was done before stays, nothing is lost.
    """
    result = RouteResult(route.key)
    started = time.monotonic()

    async def close(error: str | None) -> None:
        await runs.finish(db, route, result.counts(), error)

    with named(route.key, RouteError):
        async with db.exclusive(f"route/{route.id}") as is_ours:
            if not is_ours:
                raise RouteBusyError(
                    f"{route.key}: another process runs this route at the moment; wait for it"
                )
            await runs.begin(db, route)
            async with (
                closing(route.key, RouteError, close),
                _opened(db, factory, route, "push") as opened,
            ):
                run = Push(db, route, opened, result, on_progress)
                try:
                    await run.run(retry_refused=retry_refused, until=started + (time_limit or float("inf")))
                finally:
                    result.seconds = time.monotonic() - started
                    run.note_traffic()
    return result


async def preview_route(
    db: Database, factory: AdapterFactory, route: Route, *, limit: int = 100
) -> list[Preview]:
    """Say what a run would push, record by record. Both systems may be read; nothing is sent and nothing stored.

    Args:
        db: Where the tables are.
        factory: Makes the two connections' adapters.
        route: Which route.
        limit: How many records with something to push at most.

    Raises:
        RouteError: If a connection can't be used, or the database fails.
    """
    found: list[Preview] = []
    reported = set()
    with named(route.key, RouteError):
        async with _opened(db, factory, route, "preview") as opened:
            planner = Planner(db, route, opened)
            async with aclosing(work(db, route, opened)) as chunks:
                async for side, ids, _ in chunks:
                    for one in (one for plan in await planner.plan(side, ids) for one in _previews(plan)):
                        # A two-way route that has not linked a pair yet meets it from either side.
                        here, there = (one.side, one.record_id), (other(one.side), one.other_id)
                        key = frozenset((here, there if one.operation == "link" else here))
                        if key not in reported:
                            reported.add(key)
                            found.append(one)
                    if len(found) >= limit:
                        break
    return found[:limit]


def _previews(plan: Plan) -> list[Preview]:
    if plan.pushes:
        return [
            Preview(
                push.side, push.record_id, plan.name, str(push.operation), push.other_id, fields, plan.reason
            )
            for push, fields in zip(plan.pushes, plan.changes, strict=True)
        ]
    who = (plan.side, plan.record_id, plan.name)
    if plan.entry is not None and plan.entry.state in ("review", "refused"):
        return [Preview(*who, plan.entry.state, reason=plan.reason)]
    if plan.link is not None and plan.link.version == 0 and not plan.link.reason:
        return [Preview(*who, "link", plan.link.end(other(plan.side)).id, reason=f"same {plan.link.rule}")]
    return []


@asynccontextmanager
async def _opened(
    db: Database, factory: AdapterFactory, route: Route, purpose: str
) -> AsyncGenerator[dict[Side, RouteEnd], None]:
    """The route's two ends, their adapters connected.

    Raises:
        RouteError: If a connection is paused.
        AdapterError, StoreError: If one can't be used.
    """
    async with db.workspace(route.workspace_id) as conn:
        connections = dict(zip(SIDES, await ends(conn, route), strict=True))
    for connection in connections.values():
        if not connection.is_active:
            raise RouteError(
                f"{route.key}: connection {connection.key} is paused; `unified connections resume` starts it again",
                retry=False,
            )
    clock = await db.clock()
    opened: dict[Side, RouteEnd] = {}
    async with AsyncExitStack() as stack:
        for side, connection in connections.items():
            adapter = await factory.create(connection.workspace_id, connection.id, purpose=purpose)
            adapter.clock = clock
            await stack.enter_async_context(adapter)
            opened[side] = RouteEnd(
                side,
                connection,
                adapter,
                names_at(side, route.settings),
                await field_rules.read(db, connection, STREAM),
                is_written=side == "target" or route.settings.direction == "two_way",
            )
        yield opened
