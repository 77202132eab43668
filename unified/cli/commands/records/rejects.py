"""`unified rejects`: records that could not be mapped, and why."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, table
from unified.cli.session import asynchronous, open_session
from unified.kit.registry import get_adapter
from unified.store.records import rejects as stored_rejects
from unified.store.records.tables import StreamKey


@asynchronous
async def rejects(
    name: Name,
    *,
    stream: Annotated[str | None, typer.Option(help="Show only this stream's records.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many records of each stream to show.")] = 20,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show the raw record too, with whatever it holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show records that could not be mapped, and why. One that maps later leaves this list by itself."""
    async with open_session() as session:
        connection = await session.connection(name)
        adapter = get_adapter(connection.connector)
        streams = [adapter.stream(stream)] if stream else adapter.all_streams()
        async with session.db.workspace(connection.workspace_id) as conn:
            found = [
                {
                    "stream": each.name,
                    "source_id": reject.source_id,
                    "error": reject.error,
                    "first_seen_at": reject.first_seen_at,
                    "last_seen_at": reject.last_seen_at,
                    **({"raw": reject.raw.decode(errors="replace")} if raw else {}),
                }
                for each in streams
                for reject in await stored_rejects.read(conn, StreamKey.of(connection, each), limit=limit)
            ]
    if as_json:
        print_json(found)
        return
    headings = (
        "STREAM",
        "SOURCE ID",
        "ERROR",
        "FIRST SEEN (UTC)",
        "LAST SEEN (UTC)",
        *(("RAW",) if raw else ()),
    )
    table(headings, (tuple(each.values()) for each in found), empty=f"{connection.key} has no rejects.")
