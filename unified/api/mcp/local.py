"""An agent on this machine, on stdin and stdout: no token, as who may log in to the database may do that anyway."""

from dataclasses import replace

from unified.api.management.access.local import LocalAccess
from unified.api.management.app import ApiByNeed, open_services
from unified.api.mcp.agent import Agent, Api
from unified.api.mcp.budgets import Budgets
from unified.api.mcp.desk import Desk
from unified.api.mcp.server import serve_stdio
from unified.api.settings import Settings
from unified.store.database import Database
from unified.store.secrets.keys import KeyProvider
from unified.store.workspaces.rows import Workspace

_ACTOR = "mcp"
_READS = frozenset({"connections:read", "records:read", "records:raw"})
_SYNCS = frozenset({"connections:sync"})


async def serve(
    db: Database, provider: KeyProvider, settings: Settings, workspace: Workspace, *, syncs: bool
) -> None:
    """Serve until stdin ends.

    Args:
        db: The open database.
        provider: Master keys.
        settings: Limits.
        workspace: What the agent may read.
        syncs: Whether it may ask for syncs and run routes, too.
    """
    access = LocalAccess(db, workspace, _ACTOR, _READS | _SYNCS if syncs else _READS)
    services = replace(open_services(db, provider, settings), access=access)
    limits = settings.management
    desk = Desk(Budgets(limits.mcp_calls, limits.mcp_rows))
    await serve_stdio(desk, Agent(access.caller, services, Api(ApiByNeed(services))))
