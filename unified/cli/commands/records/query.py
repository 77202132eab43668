"""`unified query`: a question in SQL on one workspace's tables."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import asynchronous, open_session
from unified.store.readers.query import ask

_ROWS = 200


@asynchronous
async def query(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement; it can't change anything.")],
    *,
    workspace: Annotated[
        str | None,
        typer.Option(
            help="The workspace whose rows the question sees; by default the only one, or `default`."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to show at most.")] = _ROWS,
    as_json: AsJson = False,
) -> None:
    """Ask the tables of one workspace in SQL, read-only.

    For example: unified query "SELECT currency, sum(total) FROM unified_invoices GROUP BY 1"
    """
    async with open_session() as session:
        owner = await session.workspace(workspace)
        columns, rows = await ask(session.db, owner.id, statement, limit=limit + 1)
    shown = rows[:limit]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in shown])
    else:
        table(columns, shown, empty="(no rows)")
    if len(rows) > limit:
        say(f"These are the first {limit:,} rows; there are more, which --limit shows.")
