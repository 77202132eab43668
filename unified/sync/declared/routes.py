"""What a file says of routes, beside those that are there."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from unified.store.connections.rows import Connection
from unified.store.routes.cycles import place
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings, checked, stream_of
from unified.sync.declared.document import DeclaredRoute
from unified.sync.declared.steps import Ground, Step
from unified.sync.routes.orders import Orders


def route_steps(
    ground: Ground,
    name: str,
    wanted: DeclaredRoute,
    now: Route | None,
    connections: Mapping[str, Connection],
    named: Collection[str],
    coming: Collection[str],
) -> list[Step]:
    """What makes a route as the file says.

    Args:
        ground: Where.
        name: The route's.
        wanted: What the file says.
        now: The route, if it is there already.
        connections: The workspace's connections, by name.
        named: Names of those that are in the file.
        coming: Names of those that it will add.

    Raises:
        InvalidSettingError: If it can't work between its two connections.
    """
    path = ("routes", name)
    for end in (wanted.source, wanted.target):
        if end not in connections and end not in coming:
            reason = (
                f"the connection {end!r} is refused"
                if end in named
                else f"there is no connection {end!r}, and the file adds none"
            )
            return [Step(kind="route", name=name, action="refused", detail=[reason], path=path)]
    if now is None:
        if wanted.source in connections and wanted.target in connections:
            _settings(wanted, connections)
        return [_new(ground, name, wanted)]
    if (
        wanted.source not in connections
        or wanted.target not in connections
        or _ends(now) != _wanted_ends(wanted, connections)
    ):
        begin, end = (place(*one) for one in _ends(now))
        reason = f"it leads from {begin} to {end}; remove it first, or give this one another name"
        return [Step(kind="route", name=name, action="refused", detail=[reason], path=path)]
    changes = [*_changes(ground, name, wanted, now, connections)]
    return changes or [Step(kind="route", name=name, action="same", path=path)]


def extra_route(ground: Ground, route: Route) -> Step:
    """A route that the file does not name."""

    async def remove() -> Sequence[str]:
        await Routes(ground.db, actor=ground.actor).remove(route)
        return ()

    detail = [
        f"from {place(route.source, route.source_stream)} to {place(route.target, route.target_stream)}"
    ]
    return Step(kind="route", name=route.name, action="extra", detail=detail, carry_out=remove)


def _new(ground: Ground, name: str, wanted: DeclaredRoute) -> Step:
    async def add() -> Sequence[str]:
        ends = await ground.connection(wanted.source), await ground.connection(wanted.target)
        route = await Routes(ground.db, actor=ground.actor).add(
            name,
            *ends,
            wanted.settings(),
            from_stream=wanted.from_stream,
            to_stream=wanted.to_stream,
            is_active=wanted.active is not False,
        )
        return [f"`unified routes preview {route.key}` shows what it does"]

    detail = [f"from {wanted.source} to {wanted.target}"]
    return Step(kind="route", name=name, action="add", detail=detail, path=("routes", name), carry_out=add)


def _changes(
    ground: Ground, name: str, wanted: DeclaredRoute, now: Route, connections: Mapping[str, Connection]
) -> Iterator[Step]:
    routes = Routes(ground.db, actor=ground.actor)

    async def change() -> Sequence[str]:
        await routes.change(now, wanted.settings(), if_version=now.version)
        return ["all its records are looked at anew by its next run"]

    async def activate() -> Sequence[str]:
        await routes.activate(now, is_active=wanted.active is not False)
        return ()

    before, after = Orders.of(now.settings), Orders.of(_settings(wanted, connections))
    if other := [key for key in Orders.model_fields if getattr(before, key) != getattr(after, key)]:
        detail = [f"{key.replace('_', ' ')}: {_shown(before, key)} -> {_shown(after, key)}" for key in other]
        yield Step(
            kind="route", name=name, action="change", detail=detail, path=("routes", name), carry_out=change
        )
    if wanted.active not in (None, now.is_active):
        yield Step(
            kind="route",
            name=name,
            action="change",
            detail=["resume it" if wanted.active else "pause it"],
            path=("routes", name, "active"),
            carry_out=activate,
        )


def _settings(wanted: DeclaredRoute, connections: Mapping[str, Connection]) -> RouteSettings:
    source, target = connections[wanted.source], connections[wanted.target]
    streams = stream_of(source, wanted.from_stream), stream_of(target, wanted.to_stream)
    return checked(wanted.settings(), source, target, streams)


def _ends(route: Route) -> tuple[tuple[str, str], tuple[str, str]]:
    return (route.source, route.source_stream), (route.target, route.target_stream)


def _wanted_ends(
    wanted: DeclaredRoute, connections: Mapping[str, Connection]
) -> tuple[tuple[str, str], tuple[str, str]]:
    return (
        (wanted.source, stream_of(connections[wanted.source], wanted.from_stream)),
        (wanted.target, stream_of(connections[wanted.target], wanted.to_stream)),
    )


def _shown(orders: Orders, key: str) -> str:
    value = getattr(orders, key)
    if not isinstance(value, list):
        return str(value)
    return ", ".join(str(getattr(one, "source", getattr(one, "field", one))) for one in value) or "none"
