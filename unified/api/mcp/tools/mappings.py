"""Rules: what is proposed for what a connector leaves out. A person accepts them elsewhere."""

from typing import Annotated

import msgspec
from pydantic import Field

from unified.api.mcp.agent import Agent
from unified.api.mcp.tool import DATA, Answer, Arguments, ConnectionName, Tool


class Wanted(Arguments):
    """Of `unified_propose_mapping`."""

    connection: ConnectionName
    stream: str
    ask_model: Annotated[bool, Field(description="The server's own, too (connections:write).")] = False


async def _propose(agent: Agent, wanted: Wanted) -> Answer:
    place = f"/api/connectors/configs/{await agent.connection_id(wanted.connection)}/mappings/propose"
    found = await agent.post(place, {"stream": wanted.stream, "model": wanted.ask_model})
    return Answer(
        {
            "note": DATA,
            "proposed": msgspec.Raw(found),
            "next": "Nothing is in force. A person accepts a rule with `unified mappings accept`, or on its page.",
        }
    )


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="unified_propose_mapping",
        description="Rules proposed for fields left empty; a person accepts them.",
        takes=Wanted,
        permissions=frozenset({"connections:read", "records:read"}),
        call=_propose,
    ),
)
