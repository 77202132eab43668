"""Systems and connections: what there is, how it stands, why it fails, a sync now."""

from collections import Counter
from typing import Annotated, Any

import msgspec
from pydantic import Field

from unified.api.mcp.agent import Agent
from unified.api.mcp.tool import DATA, MOST_ROWS, Answer, Arguments, ConnectionName, Nothing, Tool
from unified.kit.registry import get_adapter

_CONFIGS = "/api/connectors/configs"
_PULLS = 5
_REJECTS = 50
_KINDS_OF_REJECTS = 5

Cursor = Annotated[str | None, Field(description="The next of the page before.")]


class Paged(Arguments):
    """Of `unified_connections`."""

    cursor: Cursor = None


class OfConnection(Arguments):
    """Of `unified_explain_error`."""

    connection: ConnectionName


class MaybeOfConnection(Arguments):
    """Of `unified_status`."""

    connection: Annotated[
        str | None, Field(max_length=100, description="Name or id; without it, all systems together.")
    ] = None
    days: Annotated[int, Field(ge=1, le=366, description="Count syncs of so many days up to now.")] = 30


class WantedSync(Arguments):
    """Of `unified_sync_now`."""

    connection: ConnectionName
    full: Annotated[bool, Field(description="Read everything anew, which takes long; else the changes.")] = (
        False
    )


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None


class _State(msgspec.Struct):
    """Of a connection, what says why it does not sync."""

    key: str
    connector: str
    is_active: bool
    sync_status: str
    error_message: str | None
    waits_until: str | None
    needs_reauth: bool
    approval: str
    test_error: str | None
    last_sync_at: str | None


class _Reject(msgspec.Struct):
    stream: str
    error: str


async def _list_connectors(agent: Agent, _: Nothing) -> Answer:
    page = msgspec.json.decode(await agent.get("/api/connectors", [("limit", "200")]), type=_Page)
    return Answer({"connectors": page.items})


async def _connections(agent: Agent, asked: Paged) -> Answer:
    after = [("cursor", asked.cursor)] if asked.cursor else []
    page = msgspec.json.decode(await agent.get(_CONFIGS, [("limit", str(MOST_ROWS)), *after]), type=_Page)
    return Answer({"connections": page.items, "next": page.next})


async def _status(agent: Agent, asked: MaybeOfConnection) -> Answer:
    days = [("days", str(asked.days))]
    if asked.connection is None:
        return Answer({"by_connector": msgspec.Raw(await agent.get("/api/statistics", days))})
    place = f"{_CONFIGS}/{await agent.connection_id(asked.connection)}"
    pulls = msgspec.json.decode(await agent.get(f"{place}/history", [("limit", str(_PULLS))]), type=_Page)
    return Answer(
        {
            "connection": msgspec.Raw(await agent.get(place)),
            "statistics": msgspec.Raw(await agent.get(f"{place}/statistics", days)),
            "last_pulls": pulls.items,
        }
    )


async def _sync_now(agent: Agent, asked: WantedSync) -> Answer:
    place = f"{_CONFIGS}/{await agent.connection_id(asked.connection)}"
    request = await agent.post(f"{place}/sync", {"full": asked.full})
    return Answer(
        {
            "request": msgspec.Raw(request),
            "next": "It begins within seconds; unified_status says how it goes.",
        }
    )


async def _explain_error(agent: Agent, asked: OfConnection) -> Answer:
    place = f"{_CONFIGS}/{await agent.connection_id(asked.connection)}"
    state = msgspec.json.decode(await agent.get(place), type=_State)
    content: dict[str, Any] = {"note": DATA, "connection": state.key, "causes": _causes(state)}
    content["last_success"] = state.last_sync_at
    if "records:read" not in agent.caller.permissions:
        return Answer(content)
    found = msgspec.json.decode(
        await agent.get(f"{place}/rejects", [("limit", str(_REJECTS + 1))]), type=_Page
    )
    rejects = [msgspec.json.decode(one, type=_Reject) for one in found.items[:_REJECTS]]
    kinds = Counter((one.stream, one.error) for one in rejects).most_common(_KINDS_OF_REJECTS)
    content["records_not_stored"] = len(rejects)
    content["there_are_more"] = len(found.items) > _REJECTS
    content["most_common_reasons"] = [
        {"stream": stream, "reason": reason, "records": count} for (stream, reason), count in kinds
    ]
    return Answer(content, len(kinds))


def _causes(state: _State) -> list[dict[str, str]]:
    """What keeps a connection from being synced: what is wrong, and what a person does about it."""
    name = state.key
    found = [
        (
            state.approval != "approved",
            f"An admin has not approved it: it is {state.approval}.",
            f"unified connections show {name}; an admin approves it on its page, or by POST …/approve",
        ),
        (
            state.needs_reauth,
            "The provider does not take its authorization any more.",
            f"unified connections authorize {name}",
        ),
        (
            state.test_error is not None,
            f"The last test failed: {state.test_error}",
            f"unified connections test {name}",
        ),
        (
            state.error_message is not None,
            f"The last sync failed: {state.error_message}",
            f"wait: the schedule goes on at {state.waits_until}, as the provider said"
            if state.waits_until
            else f"do what the message says, then unified sync {name}",
        ),
        (
            not state.is_active,
            "It is paused, and not synced by schedule.",
            f"unified connections resume {name}",
        ),
        (
            state.sync_status == "idle" and bool(get_adapter(state.connector).streams),
            "It was never synced.",
            f"unified sync {name}, or see that Dagster runs",
        ),
    ]
    causes = [{"what": what, "do": do} for holds, what, do in found if holds]
    return causes or [
        {
            "what": "Nothing keeps it from being synced.",
            "do": "see records_not_stored, if anything is missing",
        }
    ]


_READS = frozenset({"connections:read"})

TOOLS: tuple[Tool, ...] = (
    Tool(
        name="unified_list_connectors",
        description="The systems that can be connected, with the streams that each offers and what it can do.",
        takes=Nothing,
        permissions=_READS,
        call=_list_connectors,
    ),
    Tool(
        name="unified_connections",
        description="This workspace's connections: which system, settings, when each was synced, and its last error.",
        takes=Paged,
        permissions=_READS,
        call=_connections,
    ),
    Tool(
        name="unified_status",
        description="How fresh and how whole the data are: successes, failures, rows and rejects of a number of days, "
        "by system, or of one connection with its last pulls.",
        takes=MaybeOfConnection,
        permissions=_READS,
        call=_status,
    ),
    Tool(
        name="unified_explain_error",
        description="Why a connection does not sync, or why records of it are missing, and what to do.",
        takes=OfConnection,
        permissions=_READS,
        call=_explain_error,
    ),
    Tool(
        name="unified_sync_now",
        description="Ask for a sync of one connection. It reads from the provider and changes nothing there.",
        takes=WantedSync,
        permissions=frozenset({"connections:sync"}),
        call=_sync_now,
        writes=True,
    ),
)
