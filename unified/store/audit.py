"""The audit logs: who did what, and with what outcome. No entry holds a secret.

Each workspace has one, for its secrets and settings. The deployment has one for what belongs to no workspace: master
keys, tokens of the deployment, and workspaces that were removed, whose own entries move there without the names of
people. Both are append-only: the application may add and read entries, and neither change nor remove one.
"""

import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

Outcome = Literal["allowed", "denied", "failed"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry.

    Attributes:
        id: Rises with time.
        at: When it was written.
        actor: Who: a user, ``cli``, a run.
        action: What was done, such as ``credential.reveal``.
        subject: To what, such as ``connection <id>``.
        purpose: What for.
        outcome: ``allowed``; ``denied`` where a rule forbids it; ``failed`` where it could not be done.
        key_id: The master key concerned.
        detail: Whatever else belongs to what happened.
    """

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    purpose: str | None
    outcome: Outcome
    key_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeploymentEntry(AuditEntry):
    """One entry of the deployment's log.

    Attributes:
        workspace: The workspace that was removed, where the entry is about one.
    """

    workspace: UUID | None


async def record(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    *,
    actor: str,
    action: str,
    subject: str,
    outcome: Outcome,
    purpose: str | None = None,
    key_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry as part of the caller's transaction: it stands if and only if that commits.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        actor: See :class:`AuditEntry`, for this and the rest.
        action: What was done.
        subject: To what.
        outcome: How it ended.
        purpose: What for.
        key_id: The master key concerned.
        detail: JSON values; never a secret.
    """
    await conn.execute(
        """
        INSERT INTO audit_log (workspace_id, actor, action, subject, purpose, outcome, key_id, detail)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (workspace_id, actor, action, subject, purpose, outcome, key_id, Jsonb(dict(detail or {}))),
    )


async def record_of_deployment(
    conn: AsyncConnection[Any],
    *,
    actor: str,
    action: str,
    subject: str,
    outcome: Outcome = "allowed",
    workspace: UUID | None = None,
    key_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry to the deployment's log, as part of the caller's transaction.

    Args:
        conn: A transaction of any role that works for the deployment, or in the workspace that is removed.
        actor: See :class:`DeploymentEntry`, for this and the rest.
        action: What was done.
        subject: To what.
        outcome: How it ended.
        workspace: The workspace that was removed.
        key_id: The master key concerned.
        detail: JSON values; never a secret.
    """
    await conn.execute(
        """
        INSERT INTO deployment_log (workspace, actor, action, subject, outcome, key_id, detail)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (workspace, actor, action, subject, outcome, key_id, Jsonb(dict(detail or {}))),
    )


async def keep_for_deployment(conn: AsyncConnection[Any], workspace_id: UUID) -> None:
    """Copy the log of a workspace that is being removed to the deployment's: what was done, when, and how it ended.

    People's names become pseudonyms that hold within this log and lead nowhere, and details go, which may name
    connections, members and tokens.

    Args:
        conn: A transaction in the workspace, before its rows go.
        workspace_id: The workspace.
    """
    await conn.execute(
        """
        WITH named AS (
            SELECT *, CASE WHEN actor LIKE 'user:%%' THEN substr(actor, 6) END AS who,
                CASE WHEN subject LIKE 'member %%' THEN substr(subject, 8) END AS member
            FROM audit_log
        )
        INSERT INTO deployment_log (workspace, at, actor, action, subject, purpose, outcome, key_id)
        SELECT
            %(workspace)s, at,
            coalesce('person ' || left(encode(sha256(convert_to(%(salt)s || who, 'UTF8')), 'hex'), 12), actor),
            action,
            coalesce('person ' || left(encode(sha256(convert_to(%(salt)s || member, 'UTF8')), 'hex'), 12), subject),
            purpose, outcome, key_id
        FROM named ORDER BY id
        """,
        {"workspace": workspace_id, "salt": randomness.token_hex(16)},
    )


async def entries(
    conn: AsyncConnection[Any],
    *,
    before: int | None = None,
    limit: int = 100,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    outcome: Outcome | None = None,
) -> list[AuditEntry]:
    """A page of the workspace's log, newest first.

    Args:
        conn: A transaction in the workspace.
        before: Id of the last entry of the page before; None starts with the newest.
        limit: Entries per page.
        actor: Only entries of that actor; None of all, and so for the others.
        action: Only those of that action.
        subject: Only those about that.
        outcome: Only those that ended so.
    """
    async with conn.cursor(row_factory=class_row(AuditEntry)) as cursor:
        await cursor.execute(
            """
            SELECT id, at, actor, action, subject, purpose, outcome, key_id, detail FROM audit_log
            WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
                AND (%(actor)s::text IS NULL OR actor = %(actor)s)
                AND (%(action)s::text IS NULL OR action = %(action)s)
                AND (%(subject)s::text IS NULL OR subject = %(subject)s)
                AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {
                "before": before,
                "limit": limit,
                "actor": actor,
                "action": action,
                "subject": subject,
                "outcome": outcome,
            },
        )
        return await cursor.fetchall()


async def deployment_entries(
    conn: AsyncConnection[Any], *, before: int | None = None, limit: int = 100, workspace: UUID | None = None
) -> list[DeploymentEntry]:
    """A page of the deployment's log, newest first.

    Args:
        conn: A transaction of the scheduler's.
        before: Id of the last entry of the page before; None starts with the newest.
        limit: Entries per page.
        workspace: Only entries about that workspace, which was removed.
    """
    async with conn.cursor(row_factory=class_row(DeploymentEntry)) as cursor:
        await cursor.execute(
            """
            SELECT id, at, actor, action, subject, purpose, outcome, key_id, detail, workspace FROM deployment_log
            WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
                AND (%(workspace)s::uuid IS NULL OR workspace = %(workspace)s)
            ORDER BY id DESC LIMIT %(limit)s
            """,
            {"before": before, "limit": limit, "workspace": workspace},
        )
        return await cursor.fetchall()
