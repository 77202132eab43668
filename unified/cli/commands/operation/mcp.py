"""`unified mcp`: an MCP server on stdin and stdout, for an agent on this machine."""

import gc
import logging
from typing import Annotated

import typer

from unified import logs
from unified.cli.session import asynchronous, open_session


@asynchronous
async def mcp(
    *,
    workspace: Annotated[
        str | None,
        typer.Option(help="The workspace that the agent sees; by default the only one, or `default`."),
    ] = None,
    allow_sync: Annotated[
        bool, typer.Option(help="Let the agent also ask for syncs, and run routes that it has previewed.")
    ] = False,
) -> None:
    """Let an agent ask one workspace: an MCP server on stdin and stdout, which agents start by themselves.

    For Claude Code: claude mcp add unified -- unified mcp --workspace acme

    It reads; --allow-sync lets it do more. Agents elsewhere use /mcp of `unified serve`, with an API token
    (docs/agents.md).
    """
    # Agents show what a server writes to stderr; each call is in the audit log.
    logs.configure(logging.WARNING)
    # What imports make stays: to look for garbage among it is a fifth of the time until the first answer.
    gc.disable()
    from unified.api.mcp.local import serve  # noqa: PLC0415 - after the first look at what was asked for
    from unified.api.settings import Settings  # noqa: PLC0415 - as above
    from unified.store.secrets.providers import load_provider  # noqa: PLC0415 - as above

    gc.freeze()
    gc.enable()
    async with open_session() as session:
        owner = await session.workspace(workspace)
        settings = Settings.from_environment(address=Settings.public_url)
        await serve(session.db, load_provider(), settings, owner, syncs=allow_sync)
