"""Keeps workspaces: made, read, changed.

A workspace is read and changed inside itself, where row level security shows nothing else; all of them are listed by
the scheduler's role. How one is deleted, with all that it owns, is `unified.store.removal`'s.
"""

from uuid import UUID, uuid4

from unified.store import audit
from unified.store.database import Database
from unified.store.errors import VersionConflictError
from unified.store.rows import explained, fetch
from unified.store.workspaces import members
from unified.store.workspaces.rows import WORKSPACES, ModelSees, Workspace, WorkspaceNotFoundError


async def create(
    db: Database,
    slug: str,
    name: str | None = None,
    *,
    workspace_id: UUID | None = None,
    owner: str | None = None,
    requires_approval: bool = False,
    actor: str = "unified",
) -> Workspace:
    """Make a workspace.

    Args:
        db: The database.
        slug: 1 to 63 lower-case letters, digits and inner hyphens.
        name: For people; the slug unless given.
        workspace_id: Its id, where that has to be known beforehand.
        owner: Subject of its first member; without one only this machine's commands reach it.
        requires_approval: Whether new connections wait for an admin before their first use.
        actor: Who makes it, for the audit log.

    Raises:
        DuplicateNameError: If the slug is taken.
        InvalidSettingError: If it is not a slug.
    """
    # Chosen here, because a row may only be added inside its own workspace.
    workspace_id = workspace_id or uuid4()
    async with db.workspace(workspace_id) as conn:
        with explained(f"workspace {slug!r}"):
            await conn.execute(
                "INSERT INTO workspaces (id, slug, name, requires_approval) VALUES (%s, %s, %s, %s)",
                (workspace_id, slug, name or slug, requires_approval),
            )
        await audit.record(
            conn,
            workspace_id,
            actor=actor,
            action="workspace.create",
            subject=f"workspace {workspace_id}",
            outcome="allowed",
            detail={"slug": slug},
        )
        if owner is not None:
            await members.enter(conn, workspace_id, owner, "owner", actor=actor)
        return (await fetch(conn, Workspace, WORKSPACES))[0]


async def read(db: Database, workspace_id: UUID) -> Workspace:
    """The workspace of that id.

    Raises:
        WorkspaceNotFoundError: If there is none.
    """
    async with db.workspace(workspace_id) as conn:
        found = await fetch(conn, Workspace, WORKSPACES)
    if not found:
        raise WorkspaceNotFoundError(workspace_id)
    return found[0]


async def find(db: Database, slug: str) -> Workspace:
    """The workspace of that slug.

    Raises:
        WorkspaceNotFoundError: If there is none.
    """
    async with db.scheduler() as conn:
        found = await fetch(conn, Workspace, WORKSPACES + " WHERE slug = %(slug)s", slug=slug)
    if not found:
        raise WorkspaceNotFoundError(repr(slug))
    return found[0]


async def listed(db: Database, *, after: str = "", limit: int | None = None) -> list[Workspace]:
    """All workspaces by slug, from the one that follows ``after`` on; at most ``limit``, where one is given."""
    async with db.scheduler() as conn:
        condition = " WHERE slug > %(after)s ORDER BY slug LIMIT %(limit)s"
        return await fetch(conn, Workspace, WORKSPACES + condition, after=after, limit=limit)


async def update(
    db: Database,
    workspace_id: UUID,
    *,
    name: str | None = None,
    requires_approval: bool | None = None,
    model_sees: ModelSees | None = None,
    compresses_raw: bool | None = None,
    if_version: int | None = None,
    actor: str = "unified",
) -> Workspace:
    """Change a workspace; what is None stays as it is. Its slug never changes: it names Dagster's partitions.

    Args:
        db: The database.
        workspace_id: The workspace.
        name: For people.
        requires_approval: Whether new connections wait for an admin. Those there are stay as they are.
        model_sees: What a model may be shown of its records.
        compresses_raw: Whether raw records are stored compressed from now on. What is stored keeps its form; see
            :mod:`unified.store.records.repacking`.
        if_version: Change it only if this is still its version.
        actor: Who changes it, for the audit log.

    Raises:
        WorkspaceNotFoundError: If there is none.
        VersionConflictError: If it has another version.
    """
    async with db.workspace(workspace_id) as conn:
        if compresses_raw is not None:
            # Each commit of a sync or drain locks its connection before it asks: those under way are stored first.
            await conn.execute("SELECT FROM connector_configs ORDER BY id FOR NO KEY UPDATE")
        done = await conn.execute(
            """
            UPDATE workspaces SET
                name = COALESCE(%s, name), requires_approval = COALESCE(%s, requires_approval),
                model_sees = COALESCE(%s, model_sees), compresses_raw = COALESCE(%s, compresses_raw)
            WHERE version = COALESCE(%s, version)
            """,
            (name, requires_approval, model_sees, compresses_raw, if_version),
        )
        found = await fetch(conn, Workspace, WORKSPACES)
        if not found:
            raise WorkspaceNotFoundError(workspace_id)
        if not done.rowcount:
            raise VersionConflictError(f"workspace {found[0].slug}")
        await audit.record(
            conn,
            workspace_id,
            actor=actor,
            action="workspace.update",
            subject=f"workspace {workspace_id}",
            outcome="allowed",
            detail={
                "name": found[0].name,
                "requires_approval": found[0].requires_approval,
                "model_sees": found[0].model_sees,
                "compresses_raw": found[0].compresses_raw,
            },
        )
        return found[0]
