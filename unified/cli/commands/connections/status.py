"""`unified status`: how connections stand.

It is looked at often, so it asks the database alone: no adapter is imported for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args
from uuid import UUID

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, table
from unified.cli.session import Session, asynchronous, open_session
from unified.store.connections import standing
from unified.store.connections.rows import ConnectionSummary
from unified.store.connections.standing import Stored
from unified.store.inbox import backlog, dead_letters, horizon
from unified.store.inbox.backlog import Waiting
from unified.store.records import burials
from unified.store.records.burials import WaitingBurial
from unified.store.workspaces import workspaces


@asynchronous
async def status(
    *,
    workspace: Annotated[str | None, typer.Option(help="Show only this workspace's connections.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how each connection stands: state, last sync, records stored and rejected, waiting webhooks, error.

    WAITING counts events that are to be applied, up to 1,000, those too that can't be read yet because of a transaction
    that is open somewhere on the server; ERROR then names it. DEAD counts those that were given up
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
        async with session.db.scheduler() as conn:
            held_up = await horizon.held_up(conn)
            letters = await dead_letters.counts_by_connection(conn)
        stored = await standing.stored(session.db, connections)
        burials_of = {
            each.id: await _burials(session, each) for each in connections if stored[each.id].burials
        }
        found = [
            _state(
                each,
                stored[each.id],
                burials_of.get(each.id, ()),
                waiting.get(each.id),
                held_up,
                letters.get(each.id, {}),
            )
            for each in connections
        ]
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
                each["webhooks"]["waiting"] + each["webhooks"]["held"],
                each["webhooks"]["dead_letters"]["dead"],
                "; ".join(filter(None, _troubles(each))),
            )
            for each in found
        ),
        empty="There are no connections yet; `unified connections add` makes one.",
    )


async def _waiting(session: Session, connectors: Iterable[str]) -> dict[UUID, Waiting]:
    """What waits in the inboxes, by connection."""
    now = (await session.db.clock())()
    return {
        one.connection.id: one
        for connector in connectors
        for one in await backlog.waiting(session.db, connector, now)
    }


def _troubles(state: Mapping[str, Any]) -> Iterator[str | None]:
    """What is wrong with a connection, and what to do."""
    yield state["error"]
    if state["waits_until"]:
        yield f"its provider asked to be left alone until {state['waits_until']:%Y-%m-%d %H:%M %Z}"
    yield state["webhooks"]["error"]
    yield _held(state["webhooks"])
    for one in state["burials"]:
        if one["confirmed_at"]:
            yield f"the next sync marks what is gone of {one['stream']} as deleted"
        else:
            yield (
                f"a full refresh has not found {one['missing']:,} of {one['living']:,} {one['stream']}; if they are "
                f"gone, run `unified sync {state['connection']} --bury`"
            )


def _held(webhooks: Mapping[str, Any]) -> str | None:
    if not webhooks["held"]:
        return None
    return f"{webhooks['held']:,} event(s) can't be read yet; they wait for {webhooks['held_by']}"


async def _burials(session: Session, connection: ConnectionSummary) -> list[WaitingBurial]:
    async with session.db.workspace(connection.workspace_id) as conn:
        return await burials.waiting(conn, connection.id)


def _state(
    connection: ConnectionSummary,
    stored: Stored,
    waiting_burials: Iterable[WaitingBurial],
    waiting: Waiting | None,
    held_up: horizon.HeldUp | None,
    letters: Mapping[dead_letters.State, int],
) -> dict[str, Any]:
    held = held_up.connections.get(connection.id) if held_up else None
    return {
        "connection": connection.key,
        "connector": connection.connector,
        "is_active": connection.is_active,
        "state": "needs_reauth" if connection.needs_reauth else connection.sync_status,
        "sync_started_at": connection.sync_started_at,
        "last_sync_at": connection.last_sync_at,
        "rows": stored.rows,
        "rejects": {stream: stored.rejects.get(stream, 0) for stream in stored.rows},
        "error": connection.error_message,
        "waits_until": connection.waits_until,
        "burials": [{name: getattr(one, name) for name in one.__slots__} for one in waiting_burials],
        "webhooks": {
            "waiting": waiting.events if waiting else 0,
            "oldest_at": waiting.oldest_at if waiting else None,
            "error": waiting.trouble.error if waiting and waiting.trouble else None,
            "held": held.events if held else 0,
            "held_by": held_up.by if held and held_up else None,
            "dead_letters": {state: letters.get(state, 0) for state in get_args(dead_letters.State)},
        },
    }
