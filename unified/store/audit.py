"""The audit log: who did what to a workspace's secrets, and with what outcome. No entry holds a secret.

Append-only: the application's role may add and read entries, and neither change nor remove one. Deleting a
workspace deletes its log with it.
"""

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
        detail: Whatever else tells what happened.
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
