"""Where tools are called: whether the caller may, their budget, the arguments, the answer, and the audit log.

Nothing here knows the protocol.
"""

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from unified.api.management.access.callers import Caller
from unified.api.management.problems import explained
from unified.api.mcp.agent import Agent, RefusedError
from unified.api.mcp.budgets import Budgets
from unified.api.mcp.tool import Answer, Tool
from unified.api.mcp.tools import connections, mappings, question, records, routes
from unified.store import audit
from unified.store.readers.query import QueryError

TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (*connections.TOOLS, *records.TOOLS, *question.TOOLS, *mappings.TOOLS, *routes.TOOLS)
}
"""All tools, by name."""


class DeniedError(RefusedError):
    """The caller may not."""


class Desk:
    """Calls tools."""

    def __init__(self, budgets: Budgets) -> None:
        """Keep callers to their budgets."""
        self._budgets = budgets

    def tools(self, caller: Caller) -> list[Tool]:
        """The tools that a caller may use; of the others they are shown nothing."""
        return [tool for tool in TOOLS.values() if tool.permissions <= caller.permissions]

    async def call(self, agent: Agent, name: str, given: Mapping[str, Any]) -> tuple[bytes, bool]:
        """Call a tool, and put into the audit log that it was called: by which arguments, and none of their values.

        Args:
            agent: Who calls.
            name: Of the tool.
            given: Arguments.

        Returns:
            JSON, and True; or why not, as a line of text, and False.
        """
        tool = TOOLS.get(name)
        outcome: audit.Outcome = "allowed"
        answer = Answer({})
        try:
            answer = await self._called(agent, tool, given)
            said = msgspec.json.encode(answer.content)
        except DeniedError as error:
            outcome, said = "denied", str(error).encode()
        except (RefusedError, QueryError) as error:
            outcome, said = "failed", str(error).encode()
        except Exception as error:  # noqa: BLE001 - whatever it was, the agent gets an answer, and the log the error
            outcome, said = "failed", explained(error).detail.encode()
        self._budgets.rows(agent.caller.actor, answer.rows, time.monotonic())
        detail = {
            # Names that the tool has: others are the sender's text.
            "arguments": sorted(given.keys() & (tool.takes.model_fields.keys() if tool else set())),
            "rows": answer.rows,
        }
        async with agent.services.db.workspace(agent.caller.workspace_id) as conn:
            await audit.record(
                conn,
                agent.caller.workspace_id,
                actor=agent.caller.actor,
                action="tool.call",
                subject=f"tool {tool.name if tool else 'unknown'}",
                outcome=outcome,
                detail=detail,
            )
        return said, outcome == "allowed"

    async def _called(self, agent: Agent, tool: Tool | None, given: Mapping[str, Any]) -> Answer:
        caller = agent.caller
        if tool is None:
            there = ", ".join(one.name for one in self.tools(caller))
            raise RefusedError(f"There is no such tool; there are {there}.")
        if missing := tool.permissions - caller.permissions:
            raise DeniedError(
                f"{tool.name} takes the permission {' and '.join(sorted(missing))}, which this token does not have; "
                "an admin of the workspace makes another with `unified tokens add`."
            )
        self._budgets.call(caller.actor, time.monotonic())
        return await tool.call(agent, tool.read(given))
