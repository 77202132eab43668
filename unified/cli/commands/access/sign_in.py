"""`unified sign-in`: a link by which a browser is signed in to the pages, for this machine's user."""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx
import typer

from unified.api.pages.session import INSTALLATION, set_up_link
from unified.api.pages.session import sign_in_link as link_for
from unified.api.settings import PUBLIC_URL_VARIABLE, Settings
from unified.cli.output import say
from unified.cli.session import ACTOR, DEFAULT_WORKSPACE, CommandError, UsageError, asynchronous, open_session
from unified.store.database import Database
from unified.store.secrets.keys import KeyProvider
from unified.store.secrets.providers import load_provider
from unified.store.server.embedded import home
from unified.store.workspaces import members, tokens, workspaces
from unified.store.workspaces.permissions import ROLES, Role
from unified.store.workspaces.rows import Workspace

_LOCAL = "http://127.0.0.1:8000"
_LOOK_SECONDS = 5.0


@asynchronous
async def sign_in(
    workspace: Annotated[
        str | None,
        typer.Argument(
            help="The only workspace; by default the one named default, or the first, and from there every other one."
        ),
    ] = None,
    *,
    role: Annotated[str, typer.Option(help=f"What one may do there: as {', '.join(ROLES)}.")] = "owner",
    member: Annotated[
        str | None,
        typer.Option(help="For this member: with their role, in each workspace that they are a member of."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help=f"Where the server is reached.  [env var: {PUBLIC_URL_VARIABLE}]")
    ] = None,
) -> None:
    """Print a link that signs a browser in to the pages: once, within ten minutes, for twelve hours.

    The server has to run: `unified dev`, or `unified serve`. Behind the link stands an API token of its own that
    expires with it; `unified tokens list` shows it, and `unified tokens revoke` ends the session at once.
    """
    wanted = next((one for one in ROLES if one == role), None)
    if wanted is None:
        msg = f"--role is one of {', '.join(ROLES)}"
        raise UsageError(msg)
    chosen = {PUBLIC_URL_VARIABLE: public_url} if public_url else {}
    settings = Settings.from_environment({**os.environ, **chosen}, address=_LOCAL)
    async with open_session() as session:
        found: Workspace | None
        if member is not None:
            found, wanted = await _of_member(session.db, member, workspace)
        else:
            found = (
                await workspaces.find(session.db, workspace)
                if workspace
                else await usual_workspace(session.db)
            )
        if found is None:
            typer.echo(await set_up_link(session.db, settings.public_url, actor=ACTOR))
            say("There is no workspace yet: name the first one by this link, within 10 minutes.")
            return
        remark = await _reached(session.db, found, settings.public_url)
        reach = members.user(member) if member is not None else None if workspace else INSTALLATION
        link = await sign_in_link(
            session.db, load_provider(), found, settings.public_url, role=wanted, reach=reach
        )
    typer.echo(link)
    if remark:
        say(remark)


async def _reached(db: Database, workspace: Workspace, public_url: str) -> str | None:
    """What a person has to know about the server that the link leads to.

    It is asked with a token that may do next to nothing and is revoked at once: only a server of this installation
    knows it.

    Raises:
        CommandError: If a server of another installation answers there.
    """
    kept, token = await tokens.create(
        db,
        workspace.id,
        "unified sign-in: which server",
        ["audit:read"],
        expires_at=datetime.now(UTC) + timedelta(minutes=1),
        actor=ACTOR,
    )
    try:
        async with httpx.AsyncClient(timeout=_LOOK_SECONDS) as http:
            answer = await http.get(
                f"{public_url}/api/audit?limit=1", headers={"authorization": f"Bearer {token.reveal()}"}
            )
    except httpx.HTTPError:
        return f"Nobody answers at {public_url} yet: `unified dev` or `unified serve` starts the server."
    finally:
        await tokens.revoke(db, workspace.id, kept.id, actor=ACTOR)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        msg = (
            f"the server at {public_url} is another installation's (this one is {home()}): its link would not open "
            "there. Start `unified dev` here with another --webhook-port, and say --public-url"
        )
        raise CommandError(msg)
    return None


async def usual_workspace(db: Database) -> Workspace | None:
    """The workspace that somebody means who names none: the default one, or else the first; None without any."""
    found = sorted(await workspaces.listed(db), key=lambda one: (one.slug != DEFAULT_WORKSPACE, one.slug))
    return found[0] if found else None


async def _of_member(db: Database, subject: str, workspace: str | None) -> tuple[Workspace, Role]:
    """A workspace of a member, and their role in it.

    Raises:
        CommandError: If they are not a member of it, or of any.
    """
    found = await members.memberships(db, subject, workspace)
    if not found:
        where = f"the workspace {workspace!r}" if workspace else "any workspace"
        msg = f"{subject!r} is not a member of {where}; `unified members add` makes them one"
        raise CommandError(msg)
    return await workspaces.read(db, found[0].workspace_id), found[0].role


async def sign_in_link(
    db: Database,
    provider: KeyProvider,
    workspace: Workspace,
    public_url: str,
    *,
    role: Role = "owner",
    reach: str | None = None,
) -> str:
    """Make a link that signs a browser in once; see :func:`unified.api.pages.session.sign_in_link`."""
    return await link_for(db, provider, workspace.id, public_url, role=role, actor=ACTOR, reach=reach)
