"""`unified tokens`: API tokens, made on this machine, where no JWT is needed to be allowed to."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, UsageError, asynchronous, open_session
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import ADMIN_PERMISSIONS, PERMISSIONS, ROLES, SCOPES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list and revoke API tokens (docs/api.md).",
)

Workspace = Annotated[str | None, typer.Option(help="The workspace that it opens.", metavar="WORKSPACE")]
Admin = Annotated[bool, typer.Option("--admin", help="A token of the deployment, which opens no workspace.")]


@app.command()
@asynchronous
async def add(
    *,
    name: Annotated[str, typer.Option(help="What the token is for.")],
    workspace: Workspace = None,
    admin: Admin = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="A permission that it has; may be repeated.", metavar="SCOPE")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help=f"Instead of scopes, those of a role: {', '.join(ROLES)}.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Days until it expires.")] = None,
) -> None:
    """Add a token, and print it: it can't be shown again."""
    _check_place(workspace, admin=admin)
    possible = ADMIN_PERMISSIONS if admin else SCOPES
    if role is not None and (role not in PERMISSIONS or admin or scope):
        msg = f"--role is one of {', '.join(ROLES)}, for a workspace's token and instead of --scope"
        raise UsageError(msg)
    chosen = set(scope or ()) or (PERMISSIONS[role] & possible if role in PERMISSIONS else set())
    if admin and not chosen:
        chosen = set(possible)
    if not chosen or not chosen <= possible:
        msg = f"say --role, or --scope with some of: {', '.join(sorted(possible))}"
        raise UsageError(msg)
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    async with open_session() as session:
        workspace_id = None if workspace is None else (await workspaces.find(session.db, workspace)).id
        made, token = await tokens.create(
            session.db, workspace_id, name, sorted(chosen), expires_at=expires_at, actor=ACTOR
        )
    typer.echo(token.reveal())
    say(f"Added token {made.id}. Keep it: only its hash is stored.")


app.command("create", hidden=True)(add)  # as it was called before


@app.command("list")
@asynchronous
async def list_(*, workspace: Workspace = None, admin: Admin = False, as_json: AsJson = False) -> None:
    """List tokens; none can be read back."""
    _check_place(workspace, admin=admin)
    async with open_session() as session:
        workspace_id = None if workspace is None else (await workspaces.find(session.db, workspace)).id
        found = await tokens.listed(session.db, workspace_id)
    if as_json:
        print_json([{name: getattr(token, name) for name in token.__slots__} for token in found])
        return
    table(
        ("ID", "NAME", "BEGINS WITH", "SCOPES", "EXPIRES", "LAST USED", "REVOKED"),
        (
            (
                token.id,
                token.name,
                token.prefix,
                ", ".join(token.scopes),
                token.expires_at,
                token.last_used_at,
                token.revoked_at,
            )
            for token in found
        ),
        empty="There are no tokens; `unified tokens add` makes one.",
    )


@app.command()
@asynchronous
async def revoke(
    token_id: Annotated[
        UUID, typer.Argument(help="The token's id, as `unified tokens list` shows it.", metavar="ID")
    ],
    *,
    workspace: Workspace = None,
    admin: Admin = False,
) -> None:
    """Revoke a token, for good."""
    _check_place(workspace, admin=admin)
    async with open_session() as session:
        workspace_id = None if workspace is None else (await workspaces.find(session.db, workspace)).id
        await tokens.revoke(session.db, workspace_id, token_id, actor=ACTOR)
    say(f"Revoked token {token_id}.")


def _check_place(workspace: str | None, *, admin: bool) -> None:
    if admin == (workspace is not None):
        msg = "say --workspace, or --admin for a token of the whole deployment"
        raise UsageError(msg)
