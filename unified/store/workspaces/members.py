"""Members of a workspace: which subjects may enter it, and in which role.

A subject is what a JWT calls ``sub``. Nobody gives or takes a role that may do more than they may themselves, and a
workspace that has an owner keeps one. What each role may do: `unified.store.workspaces.permissions`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors

from unified.store import audit
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch
from unified.store.workspaces import tokens
from unified.store.workspaces.permissions import PERMISSIONS, Role
from unified.store.workspaces.rows import WORKSPACES, Workspace, WorkspaceNotFoundError

_MEMBERS = "SELECT subject, role, added_by, created_at, updated_at FROM workspace_members"


class MemberNotFoundError(StoreError):
    """The workspace has no such member."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the workspace has no member {subject!r}")


class DuplicateMemberError(StoreError):
    """The subject is a member already."""


class LastOwnerError(StoreError):
    """The workspace would be left without an owner."""


class RoleBeyondError(StoreError):
    """The role may do more than who gives or takes it."""


class InvalidSubjectError(StoreError):
    """The subject can't be one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member.

    Attributes:
        subject: The claim ``sub`` of the member's JWTs.
        role: What the member may do.
        added_by: Who made the subject a member.
        created_at: When.
        updated_at: When the role was last changed.
    """

    subject: str
    role: Role
    added_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """A subject's place in one workspace.

    Attributes:
        workspace_id: The workspace.
        workspace: Its slug.
        role: What the subject may do there.
    """

    workspace_id: UUID
    workspace: str
    role: Role


def user(subject: str) -> str:
    """How the audit log names a subject."""
    return f"user:{subject}"


async def memberships(db: Database, subject: str, workspace: str | UUID | None = None) -> list[Membership]:
    """Where a subject is a member, in one query; two at most, because the caller asks whether it is one.

    Args:
        db: The database.
        subject: The subject.
        workspace: Slug or id of the one workspace to look at; None for any.
    """
    condition = (
        ""
        if workspace is None
        else "AND w.id = %(workspace)s"
        if isinstance(workspace, UUID)
        else "AND w.slug = %(workspace)s"
    )
    async with db.api() as conn:
        rows = await conn.execute(
            f"""
            SELECT w.id, w.slug, m.role FROM workspace_members AS m JOIN workspaces AS w ON w.id = m.workspace_id
            WHERE m.subject = %(subject)s {condition} ORDER BY w.slug LIMIT 2
            """,  # noqa: S608 - constants
            {"subject": subject, "workspace": workspace},
        )
        return [Membership(*row) for row in await rows.fetchall()]


async def workspaces(db: Database, subject: str, *, after: str = "", limit: int = 1_000) -> list[Workspace]:
    """The workspaces that a subject is a member of, by slug, from the one that follows ``after`` on."""
    async with db.api() as conn:
        return await fetch(
            conn,
            Workspace,
            f"""
            {WORKSPACES} WHERE id IN (SELECT workspace_id FROM workspace_members WHERE subject = %(subject)s)
                AND slug > %(after)s ORDER BY slug LIMIT %(limit)s
            """,  # noqa: S608 - a constant
            subject=subject,
            after=after,
            limit=limit,
        )


async def listed(db: Database, workspace_id: UUID, *, after: str = "", limit: int = 1_000) -> list[Member]:
    """Members by subject, from the one that follows ``after`` on; at most ``limit``."""
    condition = " WHERE subject > %(after)s ORDER BY subject LIMIT %(limit)s"
    async with db.workspace(workspace_id) as conn:
        return await fetch(conn, Member, _MEMBERS + condition, after=after, limit=limit)


async def add(
    db: Database,
    workspace_id: UUID,
    subject: str,
    role: Role,
    *,
    actor: str,
    permitted: Collection[str] = PERMISSIONS["owner"],
) -> Member:
    """Make a subject a member.

    Args:
        db: The database.
        workspace_id: The workspace.
        subject: The subject.
        role: Its role.
        actor: Who does it, for the audit log.
        permitted: What that actor may do.

    Raises:
        DuplicateMemberError: If the subject is a member already.
        RoleBeyondError: If the role may do more than the actor.
        WorkspaceNotFoundError: If there is no such workspace.
        InvalidSubjectError: If it can be no subject.
    """
    _allow(role, permitted)
    async with db.workspace(workspace_id) as conn:
        await enter(conn, workspace_id, subject, role, actor=actor)
        return await _read(conn, subject)


async def enter(
    conn: AsyncConnection[Any], workspace_id: UUID, subject: str, role: Role, *, actor: str
) -> None:
    """The same, as part of a transaction in the workspace, and without asking who may."""
    if not 1 <= len(subject) <= 255 or not subject.isprintable():  # noqa: PLR2004 - as the table has it
        raise InvalidSubjectError("a subject has 1 to 255 printable characters")
    try:
        await conn.execute(
            "INSERT INTO workspace_members (workspace_id, subject, role, added_by) VALUES (%s, %s, %s, %s)",
            (workspace_id, subject, role, actor),
        )
    except errors.UniqueViolation:
        raise DuplicateMemberError(f"{subject!r} is a member already; change the role instead") from None
    except errors.ForeignKeyViolation:
        raise WorkspaceNotFoundError(workspace_id) from None
    await _record(conn, workspace_id, actor, "member.add", subject, role)


async def change_role(
    db: Database,
    workspace_id: UUID,
    subject: str,
    role: Role,
    *,
    actor: str,
    permitted: Collection[str] = PERMISSIONS["owner"],
) -> Member:
    """Give a member another role. Tokens that the member made and that may do more than that role are revoked.

    Args:
        db: The database.
        workspace_id: The workspace.
        subject: The member.
        role: The new role.
        actor: Who does it, for the audit log.
        permitted: What that actor may do.

    Raises:
        MemberNotFoundError: If there is no such member.
        RoleBeyondError: If the former or the new role may do more than the actor.
        LastOwnerError: If no owner would be left.
    """
    _allow(role, permitted)
    async with db.workspace(workspace_id) as conn:
        await _take_from(conn, subject, permitted, is_owner_after=role == "owner")
        await conn.execute(
            "UPDATE workspace_members SET role = %s, updated_at = now() WHERE subject = %s", (role, subject)
        )
        await tokens.revoke_beyond(conn, workspace_id, user(subject), sorted(PERMISSIONS[role]), actor=actor)
        await _record(conn, workspace_id, actor, "member.change", subject, role)
        return await _read(conn, subject)


async def remove(
    db: Database,
    workspace_id: UUID,
    subject: str,
    *,
    actor: str,
    permitted: Collection[str] = PERMISSIONS["owner"],
) -> None:
    """Take a member out of a workspace, and revoke the tokens that the member made.

    Args:
        db: The database.
        workspace_id: The workspace.
        subject: The member.
        actor: Who does it, for the audit log.
        permitted: What that actor may do.

    Raises:
        MemberNotFoundError: If there is no such member.
        RoleBeyondError: If the member's role may do more than the actor.
        LastOwnerError: If no owner would be left.
    """
    async with db.workspace(workspace_id) as conn:
        role = await _take_from(conn, subject, permitted, is_owner_after=False)
        await conn.execute("DELETE FROM workspace_members WHERE subject = %s", (subject,))
        await tokens.revoke_beyond(conn, workspace_id, user(subject), [], actor=actor)
        await _record(conn, workspace_id, actor, "member.remove", subject, role)


async def _read(conn: AsyncConnection[Any], subject: str) -> Member:
    found = await fetch(conn, Member, _MEMBERS + " WHERE subject = %(subject)s", subject=subject)
    if not found:
        raise MemberNotFoundError(subject)
    return found[0]


async def _take_from(
    conn: AsyncConnection[Any], subject: str, permitted: Collection[str], *, is_owner_after: bool
) -> Role:
    """A member's role, once it may be taken away."""
    # All that takes roles away goes through here, one after the other: of two owners who leave at once, one stays.
    await conn.execute("SELECT FROM workspaces FOR NO KEY UPDATE")
    role = (await _read(conn, subject)).role
    _allow(role, permitted)
    if role == "owner" and not is_owner_after:
        rows = await conn.execute("SELECT count(*) FROM workspace_members WHERE role = 'owner'")
        if await rows.fetchone() == (1,):
            raise LastOwnerError(f"{subject!r} is the only owner; make somebody else an owner first")
    return role


def _allow(role: Role, permitted: Collection[str]) -> None:
    if not PERMISSIONS[role] <= set(permitted):
        raise RoleBeyondError(f"the role {role} may do more than you may; ask somebody who may do as much")


async def _record(
    conn: AsyncConnection[Any], workspace_id: UUID, actor: str, action: str, subject: str, role: Role
) -> None:
    await audit.record(
        conn,
        workspace_id,
        actor=actor,
        action=action,
        subject=f"member {subject}",
        outcome="allowed",
        detail={"role": role},
    )
