"""`unified workspaces`: the tenants. Each owns its connections and records; none sees another's."""

from collections import Counter
from typing import Annotated

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, asynchronous, open_session
from unified.store import removal
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import ModelSees

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list and remove workspaces: the tenants, isolated in the database.",
)

Slug = Annotated[
    str, typer.Argument(help="Its name: lower-case letters, digits, hyphens.", metavar="WORKSPACE")
]


@app.command()
@asynchronous
async def add(
    slug: Slug, *, title: Annotated[str | None, typer.Option(help="A name for people to read.")] = None
) -> None:
    """Add a workspace."""
    async with open_session(begins=True) as session:
        await workspaces.create(session.db, slug, title)
    say(f"Added workspace {slug}.")


@app.command("list")
@asynchronous
async def list_(*, as_json: AsJson = False) -> None:
    """List workspaces."""
    async with open_session() as session:
        found = await workspaces.listed(session.db)
        connections = await session.registry.all_connections()
    counted = Counter(connection.workspace_id for connection in connections)
    rows = [
        {
            "workspace": one.slug,
            "id": one.id,
            "title": one.name,
            "connections": counted[one.id],
            "created_at": one.created_at,
        }
        for one in found
    ]
    if as_json:
        print_json(rows)
        return
    table(
        ("WORKSPACE", "ID", "TITLE", "CONNECTIONS", "CREATED"),
        (tuple(row.values()) for row in rows),
        empty="There are no workspaces yet; `unified connections add` makes the workspace default.",
    )


@app.command("set")
@asynchronous
async def set_(
    slug: Slug,
    *,
    model_sees: Annotated[
        ModelSees,
        typer.Option(
            help="What a model may be shown of its records, when one is asked for rules: nothing, names and shapes of "
            "fields, or some values too."
        ),
    ],
) -> None:
    """Change what a workspace allows."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        await workspaces.update(session.db, workspace.id, model_sees=model_sees, actor=ACTOR)
    say(f"Workspace {slug}: a model may be shown {model_sees}.")


@app.command()
@asynchronous
async def remove(slug: Slug, *, yes: Yes = False) -> None:
    """Remove a workspace with all it owns: connections, credentials, records, readers.

    Its audit log stays in the deployment's (`unified audit`), without the names of people.
    """
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        confirm(f"Remove workspace {slug} with all its connections and records?", yes=yes)
        await removal.delete_workspace(session.db, workspace.id, actor=ACTOR)
    say(f"Removed workspace {slug}.")
