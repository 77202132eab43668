"""`unified status` and `unified rejects`: how connections stand, and what could not be mapped."""

from collections.abc import Iterable
from typing import Annotated, Any, get_args
from uuid import UUID

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, table
from unified.cli.session import Session, asynchronous, open_session
from unified.kit.registry import get_adapter
from unified.store.connections.rows import ConnectionSummary
from unified.store.inbox import dead_letters
from unified.store.inbox import events as inbox
from unified.store.records import quality
from unified.store.records import rejects as stored_rejects
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces


@asynchronous
async def status(
    *,
    workspace: Annotated[str | None, typer.Option(help="Only this workspace's connections.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how each connection stands: state, last sync, records stored and rejected, waiting webhooks, error.

    WAITING counts events that are to be applied, up to 1,000; DEAD those that were given up
    (`unified webhooks dead-letters`).
    """
    async with open_session() as session:
        if workspace:
            await workspaces.find(session.db, workspace)
        connections = [
            connection
            for connection in await session.registry.all_connections()
            if workspace in (None, connection.workspace)
        ]
        waiting = await _waiting(session, {connection.connector for connection in connections})
        found = [await _state(session, each, waiting.get(each.id)) for each in connections]
    if as_json:
        print_json(found)
        return
    table(
        (
            "CONNECTION",
            "CONNECTOR",
            "STATE",
            "LAST SYNC (UTC)",
            "ROWS",
            "REJECTS",
            "WAITING",
            "DEAD",
            "ERROR",
        ),
        (
            (
                each["connection"],
                each["connector"],
                each["state"] if each["is_active"] else f"{each['state']}, paused",
                each["last_sync_at"],
                sum(each["rows"].values()),
                sum(each["rejects"].values()),
                each["webhooks"]["waiting"],
                each["webhooks"]["dead_letters"]["dead"],
                "; ".join(filter(None, (each["error"], each["webhooks"]["error"]))),
            )
            for each in found
        ),
        empty="There are no connections yet; `unified connections add` makes one.",
    )


async def _waiting(session: Session, connectors: Iterable[str]) -> dict[UUID, inbox.Waiting]:
    """What waits in the inboxes, by connection."""
    now = (await session.db.clock())()
    return {
        one.connection.id: one
        for connector in connectors
        for one in await inbox.waiting(session.db, connector, now)
    }


async def _state(
    session: Session, connection: ConnectionSummary, waiting: inbox.Waiting | None
) -> dict[str, Any]:
    adapter = get_adapter(connection.connector)
    keys = [StreamKey.of(connection, stream) for stream in adapter.all_streams()]
    async with session.db.workspace(connection.workspace_id) as conn:
        rows = {key.stream: await quality.live_records(conn, key) for key in keys}
        rejected = {key.stream: await quality.rejected_records(conn, key) for key in keys}
    letters = await dead_letters.counts(session.db, connection)
    return {
        "connection": connection.key,
        "connector": connection.connector,
        "is_active": connection.is_active,
        "state": "needs_reauth" if connection.needs_reauth else connection.sync_status,
        "sync_started_at": connection.sync_started_at,
        "last_sync_at": connection.last_sync_at,
        "rows": rows,
        "rejects": rejected,
        "error": connection.error_message,
        "webhooks": {
            "waiting": waiting.events if waiting else 0,
            "oldest_at": waiting.oldest_at if waiting else None,
            "error": waiting.trouble.error if waiting and waiting.trouble else None,
            "dead_letters": {state: letters.get(state, 0) for state in get_args(dead_letters.State)},
        },
    }


@asynchronous
async def rejects(
    name: Name,
    *,
    stream: Annotated[str | None, typer.Option(help="Only this stream's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of each stream.")] = 20,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the raw record too, with whatever it holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show records that could not be mapped, and why. One that maps later leaves this list by itself."""
    async with open_session() as session:
        connection = await session.connection(name)
        adapter = get_adapter(connection.connector)
        streams = [adapter.stream(stream)] if stream else adapter.streams
        async with session.db.workspace(connection.workspace_id) as conn:
            found = [
                {
                    "stream": each.name,
                    "source_id": reject.source_id,
                    "error": reject.error,
                    "first_seen_at": reject.first_seen_at,
                    "last_seen_at": reject.last_seen_at,
                    **({"raw": reject.raw.decode(errors="replace")} if raw else {}),
                }
                for each in streams
                for reject in await stored_rejects.read(conn, StreamKey.of(connection, each), limit=limit)
            ]
    if as_json:
        print_json(found)
        return
    headings = (
        "STREAM",
        "SOURCE ID",
        "ERROR",
        "FIRST SEEN (UTC)",
        "LAST SEEN (UTC)",
        *(("RAW",) if raw else ()),
    )
    table(headings, (tuple(each.values()) for each in found), empty=f"{connection.key} has no rejects.")
