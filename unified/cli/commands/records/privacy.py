"""`unified privacy`: a person's data deleted on request, and which records stay out since."""

from typing import Annotated
from uuid import UUID

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, asynchronous, open_session
from unified.store.privacy import deletion
from unified.store.workspaces import workspaces
from unified.sync import privacy

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Delete a person's data, and let suppressed records come in again (docs/privacy.md).",
)

Workspace = Annotated[str, typer.Argument(help="The workspace.", metavar="WORKSPACE")]
_MOST_SHOWN = 10_000


@app.command()
@asynchronous
async def delete(
    workspace: Workspace,
    *,
    email: Annotated[
        str | None, typer.Option(help="An address: all customers that have it, and whatever else holds it.")
    ] = None,
    ids: Annotated[
        list[UUID] | None,
        typer.Option("--id", help="A customer's unified_id; may be repeated.", metavar="UNIFIED_ID"),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be emptied, in rows of each table; do nothing.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Empty or remove all that is stored of a person. It can't be undone, and later syncs leave the person out."""
    if not plan:
        confirm(f"Delete all personal data of that person in {workspace}?", yes=yes)
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        done = await privacy.delete(session.db, found.id, email=email, ids=ids or (), actor=ACTOR, plan=plan)
    if as_json:
        print_json({name: getattr(done, name) for name in done.__slots__})
        return
    table(
        ("TABLE", "ROWS"),
        done.emptied.items(),
        empty="Nothing is stored of that person, or all of it was emptied before.",
    )
    verb = "would be" if plan else "are"
    say(f"{len(done.records):,} customer(s) {verb} suppressed, {done.newly_suppressed:,} of them newly.")


@app.command()
@asynchronous
async def suppressed(workspace: Workspace, *, as_json: AsJson = False) -> None:
    """List records that stay out because their persons' data were deleted; ids only."""
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        async with session.db.workspace(found.id) as conn:
            records = await deletion.suppressed(conn, limit=_MOST_SHOWN)
    if as_json:
        print_json([{name: getattr(one, name) for name in one.__slots__} for one in records])
        return
    table(
        ("UNIFIED ID", "CONNECTION", "STREAM", "SOURCE ID", "BY", "SINCE (UTC)", "EMPTIED (UTC)"),
        (
            (
                one.unified_id,
                one.connection,
                one.stream,
                one.source_id,
                one.suppressed_by,
                one.suppressed_at,
                one.emptied_at,
            )
            for one in records
        ),
        empty="No record is suppressed.",
    )


@app.command()
@asynchronous
async def lift(
    workspace: Workspace,
    *,
    ids: Annotated[
        list[UUID],
        typer.Option("--id", help="A suppressed record's unified_id; may be repeated.", metavar="UNIFIED_ID"),
    ],
) -> None:
    """Let records come in again, by the next `unified sync NAME --full`. What was emptied stays empty until then."""
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        lifted = await deletion.lift(session.db, found.id, ids, actor=ACTOR)
    say(f"{len(lifted):,} record(s) may come in again; run `unified sync NAME --full`.")
