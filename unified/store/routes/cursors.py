"""How far each side's changes are dealt with by a route."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from unified.store.positions import Position
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side


@dataclass(frozen=True, slots=True)
class RouteCursor:
    """How far a side's changes are dealt with.

    Attributes:
        position: The last change.
        as_of: When nothing could come before it any more.
        scanned_to: While all records are looked at: the last one; None once that is done.
    """

    position: Position
    as_of: datetime
    scanned_to: str | None = None


async def load(conn: AsyncConnection[Any], route: Route, side: Side) -> RouteCursor | None:
    """A side's cursor; None if this version of the route has none yet."""
    result = await conn.execute(
        """
        SELECT xid::text, id, as_of, scanned_to FROM route_cursors
        WHERE route_id = %s AND side = %s AND route_version = %s
        """,
        (route.id, side, route.version),
    )
    row = await result.fetchone()
    return RouteCursor(Position(row[0], row[1]), row[2], row[3]) if row else None


async def move(conn: AsyncConnection[Any], route: Route, side: Side, cursor: RouteCursor) -> None:
    """Store how far a side's changes are dealt with."""
    await conn.execute(
        """
        INSERT INTO route_cursors (workspace_id, route_id, side, route_version, xid, id, as_of, scanned_to)
        VALUES (%s, %s, %s, %s, %s::text::xid8, %s, %s, %s)
        ON CONFLICT (workspace_id, route_id, side) DO UPDATE SET
            route_version = excluded.route_version, xid = excluded.xid, id = excluded.id, as_of = excluded.as_of,
            scanned_to = excluded.scanned_to
        """,
        (
            route.workspace_id,
            route.id,
            side,
            route.version,
            *cursor.position,
            cursor.as_of,
            cursor.scanned_to,
        ),
    )
