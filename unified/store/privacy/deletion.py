"""A person's data deleted as one transaction, and which records are suppressed since.

What is emptied where is in :mod:`unified.store.privacy.places`; what a later commit makes of a suppressed record in
:mod:`unified.store.records.suppressions`. Runs that must not be under way meanwhile: :mod:`unified.sync.privacy`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.schema.entities import INVOICES
from unified.store import audit
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.privacy import persons, places
from unified.store.privacy.persons import Person
from unified.store.records import suppressions
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did, or would do.

    Attributes:
        records: ``unified_id`` of each of the person's customers, all of them suppressed now.
        newly_suppressed: How many of them were not before.
        emptied: How many rows of each table were emptied or removed; tables without any are left out.
    """

    records: list[UUID]
    newly_suppressed: int
    emptied: dict[str, int]


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A record that stays out.

    Attributes:
        unified_id: The record.
        connection_id: Whose it is.
        connection: That connection's name.
        stream: Its stream.
        source_id: Its id in its source.
        suppressed_by: Who asked for it: as in the audit log, or the connector where the source did.
        suppressed_at: When.
        emptied_at: When all that was stored of it was emptied; None while that is still to be done.
    """

    unified_id: UUID
    connection_id: UUID
    connection: str
    stream: str
    source_id: str
    suppressed_by: str
    suppressed_at: datetime
    emptied_at: datetime | None


async def delete(
    db: Database, workspace_id: UUID, *, email: str | None, ids: Sequence[UUID], actor: str, plan: bool
) -> Deleted:
    """Delete a person's data; see :func:`unified.sync.privacy.delete`."""
    async with db.workspace(workspace_id) as conn, conn.transaction(force_rollback=plan):
        among = await persons.connections(conn)
        person = await persons.find(conn, among, email=email, ids=ids)
        return await _erase(conn, workspace_id, person, among, actor=actor)


async def complete(db: Database, connection: ConnectionSummary) -> Deleted | None:
    """Empty what a source asked to delete, if there is anything; see :func:`unified.sync.privacy.complete`."""
    async with db.workspace(connection.workspace_id) as conn:
        among = await persons.connections(conn)
        person = await persons.unfinished(conn)
        if not person.records:
            return None
        return await _erase(conn, connection.workspace_id, person, among, actor=connection.connector)


async def is_unfinished(db: Database, connection: ConnectionSummary) -> bool:
    """Whether a connection has records that are suppressed and not emptied yet."""
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT FROM suppressed_records WHERE connector_config_id = %s AND emptied_at IS NULL LIMIT 1",
            (connection.id,),
        )
        return bool(rows.rowcount)


async def _erase(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    person: Person,
    among: Sequence[ConnectionSummary],
    *,
    actor: str,
) -> Deleted:
    new = 0
    for connection in among:
        for stream, found in person.ids(connection.id).items():
            new += await suppressions.add(
                conn, workspace_id, connection.id, stream, sorted(found), actor=actor
            )
    counts = await places.empty(conn, workspace_id, person, among)
    rows = await conn.execute(
        """
        UPDATE suppressed_records AS s SET emptied_at = coalesce(emptied_at, now())
        FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS p (connection_id, stream, source_id)
        WHERE (s.connector_config_id, s.stream, s.source_id) = (p.connection_id, p.stream, p.source_id)
        RETURNING s.unified_id
        """,
        tuple(map(list, zip(*person.records, strict=True))) or ([], [], []),
    )
    deleted = Deleted(sorted(row[0] for row in await rows.fetchall()), new, dict(sorted(counts.items())))
    await audit.record(
        conn,
        workspace_id,
        actor=actor,
        action="privacy.delete",
        subject="person",
        outcome="allowed",
        detail={
            "records": [str(one) for one in deleted.records],
            "newly_suppressed": new,
            "emptied": deleted.emptied,
        },
    )
    return deleted


async def suppressed(
    conn: AsyncConnection[Any], *, after: UUID | None = None, limit: int = 100
) -> list[Suppressed]:
    """A page of the workspace's suppressed records, by ``unified_id``.

    Args:
        conn: A transaction of the workspace.
        after: The last one read so far.
        limit: How many at most.
    """
    return await fetch(
        conn,
        Suppressed,
        """
        SELECT s.unified_id, s.connector_config_id AS connection_id, c.name AS connection, s.stream, s.source_id,
            s.suppressed_by, s.suppressed_at, s.emptied_at
        FROM suppressed_records AS s JOIN connector_configs AS c ON c.id = s.connector_config_id
        WHERE %(after)s::uuid IS NULL OR s.unified_id > %(after)s
        ORDER BY s.unified_id LIMIT %(limit)s
        """,
        after=after,
        limit=limit,
    )


async def lift(db: Database, workspace_id: UUID, ids: Iterable[UUID], *, actor: str) -> list[UUID]:
    """Let records come in again: what the source still has of them is stored by the next full sync.

    Invoices that name them are filled in by it as well; events stay as they are.

    Args:
        db: Where.
        workspace_id: The workspace.
        ids: ``unified_id`` of each; those that are not suppressed are passed over.
        actor: Who says so, for the audit log.

    Returns:
        Those that were suppressed.
    """
    async with db.workspace(workspace_id) as conn:
        among = {one.id: one for one in await persons.connections(conn)}
        rows = await conn.execute(
            """
            DELETE FROM suppressed_records WHERE unified_id = ANY(%s)
            RETURNING unified_id, connector_config_id, stream, source_id
            """,
            (list(ids),),
        )
        lifted = await rows.fetchall()
        for _, connection_id, stream, source_id in lifted:
            named: Mapping[str, frozenset[str]] = {stream: frozenset([source_id])}
            for invoice_stream, invoices in (
                await places.invoices_of(conn, among[connection_id], named)
            ).items():
                # Not as the source has it, whatever that says: so it counts as changed when it is read.
                await conn.execute(
                    f"UPDATE {INVOICES.table} SET content_hash = 0"  # noqa: S608 - a constant
                    " WHERE connection_id = %s AND stream = %s AND source_id = ANY(%s)",
                    (connection_id, invoice_stream, list(invoices)),
                )
        found = sorted(row[0] for row in lifted)
        if found:
            await audit.record(
                conn,
                workspace_id,
                actor=actor,
                action="privacy.lift",
                subject="person",
                outcome="allowed",
                detail={"records": [str(one) for one in found]},
            )
    return found
