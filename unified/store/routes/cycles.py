"""Refuses a route that would bring records back to where they came from, round and round."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.errors import InvalidSettingError
from unified.store.routes.settings import Direction


class CycleError(InvalidSettingError):
    """A route would lead back to where its records come from."""


def place(connection: str, stream: str) -> str:
    """Where a route begins or ends, for people: a connection, and its stream where that is not ``customers``."""
    return connection if stream == "customers" else f"{connection} ({stream})"


async def refuse_cycle(
    conn: AsyncConnection[Any],
    name: str,
    source: str,
    target: str,
    direction: Direction,
    route_id: UUID | None = None,
) -> None:
    """Refuse a route if other routes lead from its target back to its source. Paused ones count: they may resume.

    Args:
        conn: A transaction of the workspace.
        name: The route's.
        source: Where it begins, as :func:`place` says.
        target: Where it ends.
        direction: Whether it leads back as well.
        route_id: The route, if it is stored already.

    Raises:
        CycleError: The message names the way.
    """
    # Locked, so that of two routes that close a circle together the second sees the first.
    await conn.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
    rows = await conn.execute(
        """
        SELECT r.name, r.direction, s.name, r.source_stream, t.name, r.target_stream FROM routes AS r
        JOIN connector_configs AS s ON s.id = r.source_connection_id
        JOIN connector_configs AS t ON t.id = r.target_connection_id
        WHERE r.id IS DISTINCT FROM %s ORDER BY r.name
        """,
        (route_id,),
    )
    onward: dict[str, list[tuple[str, str]]] = {}
    for other, other_direction, *ends in await rows.fetchall():
        begin, end = place(*ends[:2]), place(*ends[2:])
        onward.setdefault(begin, []).append((other, end))
        if other_direction == "two_way":
            onward.setdefault(end, []).append((other, begin))
    goals = [(target, source), *([(source, target)] if direction == "two_way" else [])]
    for begin, goal in goals:
        if way := way_between(onward, begin, goal):
            raise CycleError(
                f"route {name!r} from {source} to {target} would close a circle: "
                f"{goal} -> {begin} (this route), {', '.join(way)}; records would go round for ever. "
                "Remove one of these routes, or make one route two-way instead of two"
            )


def way_between(onward: Mapping[str, Sequence[tuple[str, str]]], begin: str, goal: str) -> list[str]:
    """How one gets from one connection to another.

    Args:
        onward: Routes that lead on from each connection: their names and where they end.
        begin: Where to begin.
        goal: Where to get.

    Returns:
        The shortest way, step by step, for people; empty if there is none.
    """
    ways: dict[str, list[str]] = {begin: []}
    queue = [begin]
    for place in queue:
        for name, end in onward.get(place, ()):
            if end not in ways:
                ways[end] = [*ways[place], f"{place} -> {end} ({name})"]
                queue.append(end)
    return ways.get(goal, [])
