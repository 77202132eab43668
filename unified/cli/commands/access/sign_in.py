"""`unified sign-in`: a link by which a browser is signed in to the pages, for this machine's user."""

import os
from datetime import UTC, datetime
from typing import Annotated

import typer

from unified.api.pages.session import LIFETIMES, Session, Sessions
from unified.api.settings import PUBLIC_URL_VARIABLE, Settings
from unified.cli.session import ACTOR, DEFAULT_WORKSPACE, CommandError, UsageError, asynchronous, open_session
from unified.store.database import Database
from unified.store.secrets.keys import KeyProvider
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS, ROLES, SCOPES, Role
from unified.store.workspaces.rows import Workspace

_LOCAL = "http://127.0.0.1:8000"


@asynchronous
async def sign_in(
    workspace: Annotated[
        str | None, typer.Argument(help="The workspace; by default the one named default, or the first.")
    ] = None,
    *,
    role: Annotated[str, typer.Option(help=f"What one may do there: as {', '.join(ROLES)}.")] = "owner",
    public_url: Annotated[
        str | None, typer.Option(help=f"Where the server is reached.  [env var: {PUBLIC_URL_VARIABLE}]")
    ] = None,
) -> None:
    """Print a link that signs a browser in to the pages: once, within ten minutes, for twelve hours.

    The server has to run: `unified dev`, or `unified serve`. Behind the link stands an API token of its own that
    expires with it; `unified token list` shows it, and `unified token revoke` ends the session at once.
    """
    wanted = next((one for one in ROLES if one == role), None)
    if wanted is None:
        msg = f"--role is one of {', '.join(ROLES)}"
        raise UsageError(msg)
    chosen = {PUBLIC_URL_VARIABLE: public_url} if public_url else {}
    settings = Settings.from_environment({**os.environ, **chosen}, address=_LOCAL)
    async with open_session() as session:
        found = (
            await workspaces.find(session.db, workspace) if workspace else await usual_workspace(session.db)
        )
        if found is None:
            msg = "there is no workspace yet; `unified workspaces add` makes one"
            raise CommandError(msg)
        link = await sign_in_link(session.db, load_provider(), found, settings.public_url, role=wanted)
    typer.echo(link)


async def usual_workspace(db: Database) -> Workspace | None:
    """The workspace that somebody means who names none: the default one, or else the first; None without any."""
    found = sorted(await workspaces.listed(db), key=lambda one: (one.slug != DEFAULT_WORKSPACE, one.slug))
    return found[0] if found else None


async def sign_in_link(
    db: Database, provider: KeyProvider, workspace: Workspace, public_url: str, *, role: Role = "owner"
) -> str:
    """Make a link that signs a browser in once.

    Args:
        db: The database.
        provider: Master keys.
        workspace: Which workspace.
        public_url: Where the server is reached.
        role: Whose permissions it gives, as far as a token can have them.
    """
    _, token = await tokens.create(
        db,
        workspace.id,
        "unified sign-in",
        sorted(PERMISSIONS[role] & SCOPES),
        expires_at=datetime.now(UTC) + LIFETIMES["link"] + LIFETIMES["session"],
        actor=ACTOR,
    )
    sealed = await Sessions(db, provider).seal(Session.begin(workspace.id, token), "link")
    return f"{public_url}/sign-in/{sealed}"
