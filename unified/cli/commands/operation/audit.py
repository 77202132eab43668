"""`unified audit`: what the audit logs say, of a workspace or of the deployment as a whole."""

from typing import Annotated
from uuid import UUID

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, table
from unified.cli.session import asynchronous, open_session
from unified.store import audit as log
from unified.store.audit import AuditEntry
from unified.store.database import Database
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import WorkspaceNotFoundError


@asynchronous
async def audit(
    *,
    workspace: Annotated[
        str | None,
        typer.Option(help="Its slug, or the id of one that was removed.", metavar="WORKSPACE"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Entries at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries of an audit log, the newest first.

    Without --workspace it is the deployment's: master keys, tokens of the deployment, and workspaces that were removed.
    """
    async with open_session() as session:
        found = await _entries(session.db, workspace, limit)
    if as_json:
        print_json([{name: getattr(entry, name) for name in _COLUMNS} for entry in found])
        return
    table(
        ("AT", "ACTOR", "ACTION", "SUBJECT", "OUTCOME", "DETAIL"),
        ((one.at, one.actor, one.action, one.subject, one.outcome, _detail(one)) for one in found),
        empty="There are no entries.",
    )


_COLUMNS = ("id", "at", "actor", "action", "subject", "purpose", "outcome", "key_id", "detail")


async def _entries(db: Database, workspace: str | None, limit: int) -> list[AuditEntry]:
    removed = None
    if workspace is not None:
        try:
            workspace_id = (await workspaces.find(db, workspace)).id
        except WorkspaceNotFoundError:
            removed = _id(workspace)
            if removed is None:
                raise
        else:
            async with db.workspace(workspace_id) as conn:
                return await log.entries(conn, limit=limit)
    async with db.scheduler() as conn:
        return [*await log.deployment_entries(conn, limit=limit, workspace=removed)]


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _detail(entry: AuditEntry) -> str:
    return ", ".join(f"{name} {value}" for name, value in entry.detail.items())
