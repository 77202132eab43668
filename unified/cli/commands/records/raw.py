"""`unified raw`: what sources sent, one record at a time, and whether it is stored compressed."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, CommandError, UsageError, asynchronous, open_session
from unified.kit.registry import get_adapter
from unified.store.records import repacking, tables
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Print what a source sent of a record; store raw records compressed (docs/tables.md).",
)

Workspaces = Annotated[
    list[str] | None, typer.Argument(help="The workspaces; or say --all.", metavar="WORKSPACE")
]
All = Annotated[bool, typer.Option("--all", help="All workspaces.")]


@app.command()
@asynchronous
async def show(
    name: Name,
    stream: Annotated[str, typer.Argument(help="The stream, such as customers.", metavar="STREAM")],
    source_id: Annotated[str, typer.Argument(help="The record's id in its source.", metavar="ID")],
) -> None:
    """Print what the source sent of a record, deleted or not."""
    async with open_session() as session:
        connection = await session.connection(name)
        key = StreamKey.of(connection, get_adapter(connection.connector).stream(stream))
        async with session.db.workspace(connection.workspace_id) as conn:
            body = await tables.body(conn, key, source_id)
    if body is None:
        raise CommandError(
            f"{connection.key} has no raw record of {source_id!r} in {stream}; an id is the source's own, as in the "
            "column source_id"
        )
    if not body:
        raise CommandError(
            f"what is stored of {source_id!r} can't be opened: it is damaged, or its dictionary is gone; "
            f"`unified raw expand` has it read again by the next full sync"
        )
    typer.echo(body)


@app.command()
@asynchronous
async def compress(names: Workspaces = None, *, every: All = False, as_json: AsJson = False) -> None:
    """Store a workspace's raw records compressed.

    Those that are stored already and those to come: they take a third of the space or less. SQL no longer reads
    raw_data: it is null in tables and views. The API, exports, frames, remap and `unified raw show` read them as
    before. An interrupted run goes on when it is repeated.
    """
    await _bring(names or [], every=every, compressed=True, as_json=as_json)


@app.command()
@asynchronous
async def expand(names: Workspaces = None, *, every: All = False, as_json: AsJson = False) -> None:
    """Store a workspace's raw records as JSON again."""
    await _bring(names or [], every=every, compressed=False, as_json=as_json)


async def _bring(names: list[str], *, every: bool, compressed: bool, as_json: bool) -> None:
    if bool(names) == every:
        raise UsageError("name the workspaces, or say --all")
    done: list[repacking.Repacked] = []
    async with open_session() as session:
        found = (
            await workspaces.listed(session.db)
            if every
            else [await workspaces.find(session.db, name) for name in names]
        )
        for one in found:
            if one.compresses_raw != compressed:
                await workspaces.update(session.db, one.id, compresses_raw=compressed, actor=ACTOR)
            done += [each async for each in repacking.repack(session.db, one.id, compressed=compressed)]
    if as_json:
        print_json([{name: getattr(one, name) for name in one.__slots__} for one in done])
        return
    table(
        ("CONNECTION", "RECORDS", "MB BEFORE", "MB AFTER", "REFUSED"),
        (
            (one.connection, one.records, f"{one.before / 1e6:.1f}", f"{one.after / 1e6:.1f}", one.refused)
            for one in done
        ),
        empty="There is no connection yet; the raw records of those to come are stored so.",
    )
    if any(one.records for one in done):
        say("PostgreSQL keeps the room for new rows; VACUUM FULL gives it back to the disk (docs/tables.md).")
