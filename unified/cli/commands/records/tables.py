"""`unified tables`: what is stored, table by table."""

from dataclasses import asdict
from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, table
from unified.cli.session import asynchronous, open_session
from unified.store.records import sizes
from unified.store.workspaces import workspaces

_KIB = 1024


@asynchronous
async def tables(
    *,
    workspace: Annotated[str | None, typer.Option(help="Show only this workspace's rows.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the tables: rows by workspace and stream, tombstones, the newest row, disk space.

    SIZE is of the connector's part of the table with its indexes. All streams and workspaces share it.
    """
    async with open_session() as session:
        owners = (
            [await workspaces.find(session.db, workspace)]
            if workspace
            else await workspaces.listed(session.db)
        )
        found = []
        for owner in owners:
            async with session.db.workspace(owner.id) as conn:
                found += [(owner.slug, one) for one in await sizes.tables(conn)]
    if as_json:
        print_json([{"workspace": slug, **asdict(one)} for slug, one in found])
        return
    table(
        ("WORKSPACE", "TABLE", "CONNECTOR", "STREAM", "ROWS", "DELETED", "NEWEST (UTC)", "SIZE"),
        (
            (
                slug,
                one.table,
                one.connector,
                one.stream,
                one.live,
                one.deleted,
                one.synced_at,
                _size(one.bytes),
            )
            for slug, one in found
        ),
        empty="Nothing is stored yet; `unified sync` reads a connection.",
    )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} TiB"
