"""Full refreshes that wait for a person's word before they mark much of a table as deleted.

What they have not met stays in ``refresh_seen`` (:mod:`unified.store.records.refreshes`) until it is given, or until
another full refresh has listed everything anew. Who asks for it, and when: :mod:`unified.sync.burial`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store import audit
from unified.store.rows import fetch

if TYPE_CHECKING:  # for `unified status`, which asks what waits and imports no model for it
    from unified.store.records.tables import StreamKey


@dataclass(frozen=True, slots=True)
class WaitingBurial:
    """A full refresh that waits.

    Attributes:
        stream: Of which stream.
        refresh_started_at: When it began.
        missing: Live records that it has not met.
        gone: How many of them are gone at the source, at least.
        living: Live records that were stored.
        refused_at: When it stopped.
        confirmed_by: Who said that it is right; None while it waits.
        confirmed_at: When.
    """

    stream: str
    refresh_started_at: datetime
    missing: int
    gone: int
    living: int
    refused_at: datetime
    confirmed_by: str | None
    confirmed_at: datetime | None


async def keep(
    conn: AsyncConnection[Any],
    key: "StreamKey",
    started_at: datetime,
    *,
    missing: int,
    gone: int,
    living: int,
) -> None:
    """Let a refresh wait, in place of a former one of its stream, whatever was said about that.

    Args:
        conn: A transaction of the workspace.
        key: Which stream.
        started_at: When the refresh began.
        missing: Live records that it has not met.
        gone: How many of them are gone, at least.
        living: Live records that are stored.
    """
    values = key.parameters() | {"started": started_at, "missing": missing, "gone": gone, "living": living}
    await conn.execute(
        """
        DELETE FROM refresh_seen WHERE connector_config_id = %(connection)s AND stream = %(stream)s
            AND refresh_started_at <> %(started)s
        """,
        values,
    )
    await conn.execute(
        """
        INSERT INTO waiting_burials
            (workspace_id, connector_config_id, stream, refresh_started_at, missing, gone, living)
        VALUES (%(workspace)s, %(connection)s, %(stream)s, %(started)s, %(missing)s, %(gone)s, %(living)s)
        ON CONFLICT (workspace_id, connector_config_id, stream) DO UPDATE SET
            refresh_started_at = excluded.refresh_started_at, missing = excluded.missing, gone = excluded.gone,
            living = excluded.living, refused_at = now(), confirmed_by = NULL, confirmed_at = NULL
        """,
        values,
    )


async def waiting(
    conn: AsyncConnection[Any], connection_id: UUID, stream: str | None = None
) -> list[WaitingBurial]:
    """The refreshes of a connection that wait, or are confirmed and not carried out yet, by stream.

    Args:
        conn: A transaction of the workspace.
        connection_id: Whose.
        stream: Of this stream only.
    """
    return await fetch(
        conn,
        WaitingBurial,
        """
        SELECT stream, refresh_started_at, missing, gone, living, refused_at, confirmed_by, confirmed_at
        FROM waiting_burials
        WHERE connector_config_id = %(connection)s AND (%(stream)s::text IS NULL OR stream = %(stream)s)
        ORDER BY stream
        """,
        connection=connection_id,
        stream=stream,
    )


async def confirm(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    connection_id: UUID,
    *,
    actor: str,
    stream: str | None = None,
) -> list[WaitingBurial]:
    """Say that what waits is right: the connection's next sync marks it as deleted. Said again it changes nothing.

    Args:
        conn: A transaction of the workspace.
        workspace_id: The workspace.
        connection_id: Whose.
        actor: Who says so, for the audit log.
        stream: Of this stream only.

    Returns:
        What waits no longer for a word.
    """
    result = await conn.execute(
        """
        UPDATE waiting_burials SET confirmed_by = %(actor)s, confirmed_at = now()
        WHERE connector_config_id = %(connection)s AND confirmed_at IS NULL
            AND (%(stream)s::text IS NULL OR stream = %(stream)s)
        RETURNING stream
        """,
        {"connection": connection_id, "stream": stream, "actor": actor},
    )
    new = {row[0] for row in await result.fetchall()}
    found = await waiting(conn, connection_id, stream)
    if new:
        await audit.record(
            conn,
            workspace_id,
            actor=actor,
            action="connection.bury",
            subject=f"connection {connection_id}",
            outcome="allowed",
            detail={
                one.stream: {"missing": one.missing, "gone": one.gone, "living": one.living}
                for one in found
                if one.stream in new
            },
        )
    return found
