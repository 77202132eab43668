"""A question in SQL, as `unified query` asks it: by a login that reads one workspace, whatever it is sent."""

from typing import Annotated, Any

import msgspec
from pydantic import Field

from unified.api.mcp.agent import Agent
from unified.api.mcp.tool import DATA, MOST_ROWS, Answer, Arguments, Tool
from unified.store.readers.query import ask

_SECONDS = 10
_LONGEST_TEXT = 2_000


class Question(Arguments):
    """Of `unified_query`."""

    sql: Annotated[
        str,
        Field(
            min_length=1,
            max_length=10_000,
            description="One SELECT of PostgreSQL's. unified://tables/{entity} describes the tables.",
        ),
    ]


async def _query(agent: Agent, asked: Question) -> Answer:
    columns, rows = await ask(
        agent.services.db, agent.caller.workspace_id, asked.sql, limit=MOST_ROWS + 1, seconds=_SECONDS
    )
    shown = [[_cell(value) for value in row] for row in rows[:MOST_ROWS]]
    content = {"note": DATA, "columns": columns, "rows": shown, "there_are_more": len(rows) > MOST_ROWS}
    return Answer(content, len(shown))


def _cell(value: Any) -> Any:
    """A value as JSON: amounts as text, long text cut, what JSON does not know as text."""
    match value:
        case str() if len(value) > _LONGEST_TEXT:
            return f"{value[:_LONGEST_TEXT]}… ({len(value):,} characters)"
        case bytes():
            return f"({len(value):,} bytes)"
        case None | bool() | int() | float() | str():
            return value
    text = msgspec.json.encode(value, enc_hook=str)
    return msgspec.Raw(text) if len(text) <= _LONGEST_TEXT else _cell(text.decode())


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="unified_query",
        description="Ask this workspace's tables in SQL, read-only: sums, groups, joins. Tables: unified_customers, "
        "unified_invoices, unified_events, unified_records, golden_customers; rows deleted at their source have "
        f"deleted_at. {MOST_ROWS} rows and {_SECONDS} seconds at most: group, or order and limit. Never add amounts "
        f"of several currencies. {DATA}",
        takes=Question,
        # SQL reads raw records too.
        permissions=frozenset({"records:read", "records:raw"}),
        call=_query,
    ),
)
