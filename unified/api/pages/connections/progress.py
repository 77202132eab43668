"""How a sync goes, on the page of its connection: a stream of the part that says so, as server-sent events.

Each event is HTML from the template that the page itself begins with. The stream ends with the sync, or after some
minutes: then the browser asks again, and is looked at anew.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.services import Use
from unified.api.pages.route import router
from unified.api.pages.view import HEADERS, fragment
from unified.store.connections.rows import Connection, connection_key
from unified.store.records.history import SyncRun
from unified.sync.progress.following import CrowdedError, Followed, Following
from unified.sync.progress.states import Progress, awaited_since, progress

Moment = Annotated[float | None, Query(ge=0, le=2**33, description="Seconds since 1970.")]
"""When the sync was asked for, in the address of a page that follows it."""

SCRIPT = "follow.js"

_STREAM_SECONDS = 300.0
# Proxies give up an answer that is silent for a minute (nginx: proxy_read_timeout).
_SILENT_SECONDS = 15.0
_AGAIN_MS = 3_000
_LONGEST = timedelta(days=1)

routes = router()


@routes.get("/connectors/{connection_id}/progress")
async def stream_progress(
    request: Request, caller: configs.Reader, services: Use, connection_id: UUID, since: Moment
) -> Response:
    """How the sync goes that was asked for at a moment."""
    async with services.db.workspace(caller.workspace_id) as conn:
        await connection_key(conn, connection_id)
    followed = Followed(connection_id, datetime.fromtimestamp(since or 0, UTC))
    # A proxy that buffers would keep the page waiting: nginx heeds its own header, others no-transform.
    headers = {**HEADERS, "cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    events = _events(services.following, caller.workspace_id, followed)
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


@dataclass(frozen=True, slots=True)
class Shown:
    """A sync as its connection's page begins to show it.

    Attributes:
        since: When it was asked for or began, in seconds since 1970.
        progress: How it stands.
    """

    since: float
    progress: Progress


def moment_of(connection: Connection, asked: float | None) -> datetime | None:
    """When the sync was asked for, or began, that a connection's page follows; None where there is none.

    Args:
        connection: As it is now.
        asked: What the page's address says.
    """
    now = datetime.now(UTC)
    if asked is not None and now - _LONGEST < (moment := datetime.fromtimestamp(asked, UTC)) <= now:
        return moment
    return awaited_since(connection)


def shown(
    connection: Connection, streams: Collection[str], runs: Sequence[SyncRun], since: datetime
) -> Shown:
    """How the sync stands that was asked for at a moment; see :func:`unified.sync.progress.states.progress`."""
    state = progress(connection, streams, runs, since=since, now=datetime.now(UTC))
    return Shown(since.timestamp(), state)


async def _events(following: Following, workspace_id: UUID, followed: Followed) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=_AGAIN_MS)
    clock = asyncio.get_running_loop().time
    until, last, sent_at = clock() + _STREAM_SECONDS, "", clock()
    try:
        async with aclosing(following.follow(workspace_id, followed)) as states:
            async for state in states:
                html = last if state is None else fragment("progress.html", progress=state)
                if html != last:
                    last, sent_at = html, clock()
                    yield format_sse_event(event="progress", data_str=html)
                elif clock() - sent_at >= _SILENT_SECONDS:
                    sent_at = clock()
                    yield KEEPALIVE_COMMENT
                if state is not None and state.has_ended:
                    yield format_sse_event(event="end", data_str=state.state)
                if clock() >= until:
                    return
    except CrowdedError:
        return  # the browser comes again
