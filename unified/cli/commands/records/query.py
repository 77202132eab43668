"""`unified query`: a question in SQL on one workspace's tables."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import (
    DEFAULT_WORKSPACE,
    CommandError,
    Session,
    UsageError,
    asynchronous,
    open_session,
)
from unified.store.readers.query import ask
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import Workspace

_ROWS = 200
_NAMED = 20


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
        owner = await _owner(session, workspace)
        columns, rows = await ask(session.db, owner.id, statement, limit=limit + 1)
    shown = rows[:limit]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in shown])
    else:
        table(columns, shown, empty="(no rows)")
    if len(rows) > limit:
        say(f"These are the first {limit:,} rows; there are more, which --limit shows.")


async def _owner(session: Session, workspace: str | None) -> Workspace:
    """The workspace that is meant.

    Raises:
        WorkspaceNotFoundError: If there is none of that name.
        UsageError: If none was named and there are several.
    """
    if workspace:
        return await workspaces.find(session.db, workspace)
    found = {one.slug: one for one in await workspaces.listed(session.db)}
    if DEFAULT_WORKSPACE in found:
        return found[DEFAULT_WORKSPACE]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise CommandError("there is no workspace yet; `unified connections add` or `unified demo` makes one")
    some = [*sorted(found)[:_NAMED], *(["…"] if len(found) > _NAMED else [])]
    raise UsageError(f"there are several workspaces: say which with --workspace, {', '.join(some)}")
