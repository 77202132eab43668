"""What people decide on identities: merges and splits.

A decision is kept as a verdict on each pair of records concerned, and outlives every run. It takes effect when these
are resolved (`unified.sync.identities.resolve`), for which they are queued here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from unified.store import audit
from unified.store.identities.golden import IdentityError, find, records
from unified.store.rows import fetch

Verdict = Literal["same", "different"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided on two records."""

    low_id: UUID
    high_id: UUID
    verdict: Verdict
    decided_by: str
    decided_at: datetime
    note: str | None


async def decisions(conn: AsyncConnection[Any], among: Collection[UUID]) -> list[Decision]:
    """What people decided on some records, the latest first."""
    return await fetch(
        conn,
        Decision,
        f"""
        SELECT {", ".join(Decision.__dataclass_fields__)} FROM identity_decisions
        WHERE low_id = ANY(%(ids)s) OR high_id = ANY(%(ids)s) ORDER BY decided_at DESC, low_id, high_id
        """,  # noqa: S608 - fields
        ids=list(among),
    )


async def merge(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    references: Sequence[UUID],
    *,
    actor: str,
    note: str | None = None,
) -> list[UUID]:
    """Decide that identities are one customer. This takes back what was decided against it before.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        references: Two identities or more; see :func:`find`.
        actor: Who decides.
        note: Why, in their words.

    Returns:
        All their records. Once these are resolved, the oldest identity stays.

    Raises:
        IdentityNotFoundError: If one is not there.
        IdentityError: If there are not two of them, or one is about to be resolved anew.
    """
    ids = list(dict.fromkeys([await find(conn, reference) for reference in references]))
    if len(ids) < 2:  # noqa: PLR2004
        raise IdentityError("nothing to merge: these are one identity already")
    parts = [[record.unified_id for record in await records(conn, identity_id)] for identity_id in ids]
    await _decide(conn, workspace_id, parts, "same", actor=actor, note=note)
    await _note(conn, workspace_id, "identity.merge", ids, actor=actor, note=note)
    return [record for part in parts for record in part]


async def split(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    reference: UUID,
    out: Collection[UUID],
    *,
    actor: str,
    note: str | None = None,
) -> list[UUID]:
    """Decide that some records of an identity are another customer than the rest of it.

    No rule brings any of them together with any of the rest again, not by way of others either. Whether those that
    leave stay together is left to the rules.

    Args:
        conn: A transaction in the workspace.
        workspace_id: The workspace.
        reference: The identity; see :func:`find`.
        out: The records that leave.
        actor: Who decides.
        note: Why, in their words.

    Returns:
        All its records.

    Raises:
        IdentityNotFoundError: If it is not there.
        IdentityError: If a record is not in it, nothing would be left, or it is about to be resolved anew.
    """
    identity_id = await find(conn, reference)
    members = {record.unified_id for record in await records(conn, identity_id)}
    if strange := sorted(set(out) - members):
        msg = f"identity {identity_id} has no record {strange[0]}; `unified identities show` lists them"
        raise IdentityError(msg)
    rest = members - set(out)
    if not rest or not out:
        msg = f"name some records of identity {identity_id}, but not all of its {len(members)}"
        raise IdentityError(msg)
    await _decide(conn, workspace_id, [sorted(out), sorted(rest)], "different", actor=actor, note=note)
    await _note(conn, workspace_id, "identity.split", [identity_id], actor=actor, note=note)
    return sorted(members)


async def _decide(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    parts: Sequence[Sequence[UUID]],
    verdict: Verdict,
    *,
    actor: str,
    note: str | None,
) -> None:
    """Put a verdict on every pair of records of different parts, so that it holds whichever of them stay."""
    concerned = [record for part in parts for record in part]
    rows = await conn.execute("SELECT FROM identity_queue WHERE unified_id = ANY(%s) LIMIT 1", (concerned,))
    if rows.rowcount:
        # Who is in it may be about to change, and the decision would be on others than those that were looked at.
        raise IdentityError("these identities are about to be resolved anew; look at them again in a minute")
    pairs = [
        tuple(sorted((one, other)))
        for place, part in enumerate(parts)
        for later in parts[place + 1 :]
        for one in part
        for other in later
    ]
    await conn.execute(
        """
        INSERT INTO identity_decisions (workspace_id, low_id, high_id, verdict, decided_by, note)
        SELECT %s, low, high, %s, %s, %s FROM unnest(%s::uuid[], %s::uuid[]) AS p (low, high)
        ON CONFLICT (workspace_id, low_id, high_id) DO UPDATE SET
            verdict = excluded.verdict, decided_by = excluded.decided_by, decided_at = now(), note = excluded.note
        """,
        (workspace_id, verdict, actor, note, [low for low, _ in pairs], [high for _, high in pairs]),
    )
    await conn.execute(
        "INSERT INTO identity_queue (workspace_id, unified_id) SELECT %s, unnest(%s::uuid[]) ON CONFLICT DO NOTHING",
        (workspace_id, concerned),
    )


async def _note(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    action: str,
    ids: Sequence[UUID],
    *,
    actor: str,
    note: str | None,
) -> None:
    await audit.record(
        conn,
        workspace_id,
        actor=actor,
        action=action,
        subject=" ".join(f"identity {identity_id}" for identity_id in ids),
        purpose=note,
        outcome="allowed",
    )
