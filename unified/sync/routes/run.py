"""A route's run: lease, state and adapters around the push. Dagster and the CLI call here."""

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from unified.kit.errors import AdapterError
from unified.kit.factory import AdapterFactory
from unified.kit.mapping.compiled import FieldRules
from unified.store.connections import field_rules, waits
from unified.store.database import Database
from unified.store.routes import runs
from unified.store.routes.rows import Route, ends
from unified.store.routes.sides import SIDES, Side
from unified.sync.bracket import closing, named
from unified.sync.errors import RouteBusyError, RouteError
from unified.sync.routes.end import RouteEnd, names_at
from unified.sync.routes.push import OnProgress, Push, RouteResult


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
                opened(db, factory, route, "push") as sides,
            ):
                run = Push(db, route, sides, result, on_progress)
                try:
                    await run.run(retry_refused=retry_refused, until=started + (time_limit or float("inf")))
                except AdapterError:
                    await _note_waits(db, sides.values())
                    raise
                finally:
                    result.seconds = time.monotonic() - started
                    run.note_traffic()
    return result


async def _note_waits(db: Database, ends: Iterable[RouteEnd]) -> None:
    """Leave connections alone for as long as their providers said: neither routes, syncs by schedule nor drains ask."""
    for end in ends:
        if end.wait is not None:
            async with db.workspace(end.connection.workspace_id) as conn:
                await waits.note(conn, end.connection.id, end.wait)


@asynccontextmanager
async def opened(
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
    found: dict[Side, RouteEnd] = {}
    async with AsyncExitStack() as stack:
        for side, connection in connections.items():
            adapter = await factory.create(connection.workspace_id, connection.id, purpose=purpose)
            adapter.clock = clock
            await stack.enter_async_context(adapter)
            rules = await field_rules.read(db, connection, route.stream(side))
            found[side] = RouteEnd(
                side,
                connection,
                route.stream(side),
                adapter,
                names_at(side, route.settings),
                FieldRules(adapter.stream(route.stream(side)).entity.model, rules) if rules else None,
                is_written=side == "target" or route.settings.direction == "two_way",
            )
        yield found
