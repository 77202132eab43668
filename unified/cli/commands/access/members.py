"""`unified members`: who may enter a workspace through the API, and in which role."""

from typing import Annotated, Literal

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, asynchronous, open_session
from unified.store.workspaces import members, workspaces

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list, update and remove members of a workspace (docs/api.md).",
)

Workspace = Annotated[str, typer.Argument(help="The workspace.", metavar="WORKSPACE")]
Subject = Annotated[str, typer.Argument(help="The claim `sub` of the member's JWTs.", metavar="SUBJECT")]
RoleName = Annotated[
    Literal["owner", "admin", "member", "viewer"], typer.Option("--role", help="What the member may do.")
]


@app.command()
@asynchronous
async def add(workspace: Workspace, subject: Subject, *, role: RoleName = "member") -> None:
    """Make a subject a member."""
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        await members.add(session.db, found.id, subject, role, actor=ACTOR)
    say(f"{subject} is {role} of {workspace}.")


@app.command("list")
@asynchronous
async def list_(workspace: Workspace, *, as_json: AsJson = False) -> None:
    """List a workspace's members."""
    async with open_session() as session:
        found = await members.listed(session.db, (await workspaces.find(session.db, workspace)).id)
    if as_json:
        print_json([{name: getattr(member, name) for name in member.__slots__} for member in found])
        return
    table(
        ("SUBJECT", "ROLE", "ADDED BY", "SINCE"),
        ((member.subject, member.role, member.added_by, member.created_at) for member in found),
        empty="It has no members; `unified members add` makes one.",
    )


@app.command()
@asynchronous
async def update(workspace: Workspace, subject: Subject, *, role: RoleName) -> None:
    """Give a member another role."""
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        await members.change_role(session.db, found.id, subject, role, actor=ACTOR)
    say(f"{subject} is {role} of {workspace}.")


app.command("change", hidden=True)(update)  # as it was called before


@app.command()
@asynchronous
async def remove(workspace: Workspace, subject: Subject) -> None:
    """Take a member out of a workspace, and revoke the tokens that the member made."""
    async with open_session() as session:
        found = await workspaces.find(session.db, workspace)
        await members.remove(session.db, found.id, subject, actor=ACTOR)
    say(f"{subject} is not a member of {workspace} any more.")
