"""`/rejects` and `/dead-letters`: what could not be used, over all connections: how much, of which, and why."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints import received
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.endpoints.webhooks import Writer
from unified.api.management.paging import AskedPage
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import Form, router
from unified.api.pages.view import render, see_other
from unified.store.connections import rows as connections
from unified.store.inbox import dead_letters
from unified.store.inbox.dead_letters import State
from unified.store.lists import pages
from unified.store.records import rejects

_COUNTS_SHOWN = 100
_DONE = {"replay": "They are tried again with the next drain, within seconds."}

routes = router()


@routes.get("/rejects")
async def list_rejects(
    request: Request,
    caller: RecordReader,
    services: Use,
    page: AskedPage,
    connection: str = "",
    stream: str = "",
) -> Response:
    """Records that could not be mapped."""
    query = _filled(connection=connection, stream=stream)
    async with services.db.workspace(caller.workspace_id) as conn:
        connection_id = await _connection(conn, connection)
        found = await rejects.of_workspace(
            conn,
            connection_id=connection_id,
            stream=stream.strip() or None,
            after=page.after(tuple[UUID, str, str]),
            limit=page.fetch,
        )
        counts = await rejects.counts(conn, limit=_COUNTS_SHOWN)
        names = await _names(
            conn, {one.connection_id for one in found} | {one.connection_id for one in counts}
        )
    shown, following = page.divided(found, lambda one: (one.connection_id, one.stream, one.key))
    return render(
        request,
        "rejects.html",
        rejects=shown,
        counts=counts,
        names=names,
        query=query,
        following=page.address(following) if following else None,
        first=f"/rejects?{urlencode(query)}",
        is_first=page.after(tuple[UUID, str, str]) is None,
    )


@routes.get("/dead-letters")
async def list_dead_letters(
    request: Request,
    caller: RecordReader,
    services: Use,
    page: AskedPage,
    connection: str = "",
    state: str = "",
    done: str = "",
) -> Response:
    """Received events that could not be applied."""
    known = next((one for one in get_args(State) if one == state), None)
    query = _filled(connection=connection, state=known or "")
    async with services.db.workspace(caller.workspace_id) as conn:
        connection_id = await _connection(conn, connection)
        found = await dead_letters.page(
            conn,
            connection_id=connection_id,
            state=known,
            before=page.after(tuple[datetime, UUID, UUID]),
            limit=page.fetch,
        )
        by_connection = await dead_letters.counts_by_connection(conn)
        left = {one: _left(counts) for one, counts in by_connection.items() if _left(counts)}
        most = sorted(left, key=lambda one: -left[one])[:_COUNTS_SHOWN]
        names = await _names(conn, {*most, *(one.connection_id for one in found)})
    shown, following = page.divided(found, lambda one: (one.received_at, one.connection_id, one.id))
    return render(
        request,
        "dead_letters.html",
        letters=shown,
        counts={one: left[one] for one in most},
        names=names,
        states=get_args(State),
        query=query,
        following=page.address(following) if following else None,
        first=f"/dead-letters?{urlencode(query)}",
        is_first=page.after(tuple[datetime, UUID, UUID]) is None,
        notice=_DONE.get(done),
    )


@routes.post("/dead-letters/{connection_id}/replay")
async def replay(caller: Writer, services: Use, connection_id: UUID, form: Form) -> Response:
    """Have dead letters tried again: one, or all of a connection's."""
    await replay_letters(caller, services, connection_id, form)
    return see_other("/dead-letters?done=replay")


async def replay_letters(
    caller: Caller, services: Services, connection_id: UUID, form: dict[str, str]
) -> None:
    """Have the dead letter that a form names tried again, or all of the connection's.

    Raises:
        Problem: If the form names none.
    """
    try:
        wanted = received.Replay(ids=[UUID(form["id"])] if "id" in form else None)
    except ValueError:
        raise Problem(404, "There is no such dead letter.") from None
    await received.replay_events(caller, services, connection_id, wanted)


def _left(counts: Any) -> int:
    """Letters that a replay would try again."""
    return sum(count for state, count in counts.items() if state != "replayed")


def _filled(**query: str) -> dict[str, str]:
    return {name: value.strip() for name, value in query.items() if value.strip()}


async def _connection(conn: Any, name: str) -> UUID | None:
    return (await pages.connection_ids(conn, [name.strip()]))[0] if name.strip() else None


async def _names(conn: Any, ids: Collection[UUID]) -> dict[UUID, str]:
    return {one.id: one.name for one in await connections.some(conn, ids)}
