"""`unified export`: customers, invoices and the rest as files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say
from unified.cli.session import asynchronous, open_session
from unified.kit.errors import counted
from unified.sync.exports.export import Request, request_format
from unified.sync.exports.export import export as run


@asynchronous
async def export(
    stream: Annotated[
        str,
        typer.Argument(
            metavar="STREAM",
            help="customers, invoices, invoice_lines, events, records, identities, or a stream of records, e.g. deals.",
        ),
    ],
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="PATH",
            help="A file that ends in .parquet, .csv or .jsonl; any other path is a folder with a file per day.",
        ),
    ],
    workspace: Annotated[
        str | None, typer.Option(help="The workspace to export; by default the only one, or `default`.")
    ] = None,
    since: Annotated[
        Literal["LAST"] | None,
        typer.Option(
            help="LAST: only what changed since the last export of the same to the same folder, with what was deleted."
        ),
    ] = None,
    connection: Annotated[
        list[str] | None, typer.Option(help="Only of this connection, by name or id; may be repeated.")
    ] = None,
    file_format: Annotated[
        Literal["parquet", "csv", "jsonl"] | None, typer.Option("--format", help="Of the files in a folder.")
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="With what was deleted.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With each record as the source sent it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a stream of one workspace to a file, or to a folder partitioned by day.

    For example: unified export invoices --to invoices.parquet

    An export that was interrupted goes on when the same command is given again.
    """
    form, by_day = request_format(to, file_format)
    async with open_session() as session:
        owner = await session.workspace(workspace)
        done = await run(
            session.db,
            Request(
                workspace=owner.slug,
                workspace_id=owner.id,
                stream=stream,
                target=to,
                file_format=form,
                by_day=by_day,
                since_last=since is not None,
                connections=tuple(connection or ()),
                deleted=deleted,
                raw=raw,
            ),
        )
    if as_json:
        files = [str(file) for file in done.files]
        print_json({"files": files, "rows": done.rows, "resumed": done.resumed, "is_whole": done.is_whole})
        return
    gone_on = f", {done.resumed:,} of them read by the export that was interrupted" if done.resumed else ""
    rows = counted(done.rows, "row" if done.is_whole else "changed row")
    where = f"{counted(len(done.files), 'file')} in {to}" if by_day else str(to)
    say(f"{rows} in {where}{gone_on}.")
