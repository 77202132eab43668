"""Strays: received events of accounts that no connection of the workspace reads. They are counted, and let go.

Which connections an event belongs to is said by :mod:`unified.kit.webhooks.owners`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.kit.webhooks.owners import Owner, Reader
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.rows import fetch

_MODES = {True: "live", False: "test", None: ""}

# A connection's account, as far as it is known for sure: no change since it was asked for may lead to another one.
READERS = """
    SELECT r.id AS connection_id,
        CASE WHEN r.account_settled >= r.account_doubts THEN r.account_id END AS account,
        r.account_livemode AS livemode
    FROM connector_configs AS r
"""


@dataclass(frozen=True, slots=True)
class Stray:
    """An event that belongs to nobody.

    Attributes:
        workspace_id: The tenant.
        connection_id: At whose endpoint it came in.
        owner: The account and the mode that it names.
    """

    workspace_id: UUID
    connection_id: UUID
    owner: Owner


@dataclass(frozen=True, slots=True)
class Strays:
    """How many came in at a connection's endpoints.

    Attributes:
        account: The account that they name; empty where they name none.
        mode: ``live``, ``test``, or empty where they do not say.
        events: How many.
        first_at: When the first one came.
        last_at: When the last one came.
    """

    account: str
    mode: str
    events: int
    first_at: datetime
    last_at: datetime


async def readers(conn: AsyncConnection[Any], connection: ConnectionSummary) -> list[Reader]:
    """Whose accounts the workspace's connections to the same system read, in a transaction of it."""
    return await fetch(
        conn, Reader, READERS + " WHERE r.connector = %(connector)s", connector=connection.connector
    )


async def append(db: Database, strays: Sequence[Stray]) -> None:
    """Count events of any workspace, as the ingress.

    Raises:
        UnreachableError, BusyError: If the server fails.
    """
    async with db.ingress() as conn:
        await count(conn, strays)


async def count(conn: AsyncConnection[Any], strays: Sequence[Stray]) -> None:
    """Count events by a connection of the caller's."""
    found = Counter(
        (one.workspace_id, one.connection_id, one.owner.account or "", _MODES[one.owner.livemode])
        for one in strays
    )
    keys = sorted(found)  # in order, so that two writers can't lock each other out
    if not keys:
        return
    await conn.execute(
        """
        INSERT INTO webhook_strays AS s (workspace_id, connection_id, account, mode, events)
        SELECT c.workspace_id, c.id, n.account, n.mode, n.events
        FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bigint[])
            AS n (workspace_id, connection_id, account, mode, events)
        JOIN connector_configs AS c ON (c.workspace_id, c.id) = (n.workspace_id, n.connection_id)
        ON CONFLICT (workspace_id, connection_id, account, mode) DO UPDATE
            SET events = s.events + excluded.events, last_at = now()
        """,
        (*(list(column) for column in zip(*keys, strict=True)), [found[key] for key in keys]),
    )


async def listed(conn: AsyncConnection[Any], connection_id: UUID) -> list[Strays]:
    """What came in at a connection's endpoints and was nobody's, the latest first."""
    return await fetch(
        conn,
        Strays,
        """
        SELECT account, mode, events, first_at, last_at FROM webhook_strays
        WHERE connection_id = %(connection)s ORDER BY last_at DESC, account, mode LIMIT 1000
        """,
        connection=connection_id,
    )
