"""Whose account a connection's records are, and what goes when its credentials open another one.

A change of credentials or settings raises a doubt (migration 0016), which :mod:`unified.sync.scope` settles before
anything else is read. Records of two accounts, or of test and live mode, never stand side by side: as another account
is settled, all that is stored of the former one is buried, and nothing of it is stored afterwards.

Rows of several tables change by this, in one transaction.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.schema.entities import CUSTOMERS, ENTITIES
from unified.store import audit
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.rows import KEEP_SINCE

# What was kept for going on with the former account's streams.
_FORGOTTEN = (
    "cursors",
    "refresh_seen",
    "waiting_burials",
    "rejects",
    "unknown_deletions",
    "merged_records",
)


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """What is known of the account that a connection's records are of.

    Attributes:
        id: Its id at the provider; None before it was asked.
        livemode: False for test mode; None where the provider knows none.
        epoch: Rises with each change of account.
        doubts: How many changes there were that may lead to another one.
        settled: How many of them are settled.
    """

    id: str | None
    livemode: bool | None
    epoch: int
    doubts: int
    settled: int

    @property
    def is_settled(self) -> bool:
        """Whether nothing has changed since the provider was asked."""
        return self.settled >= self.doubts

    def is_other(self, account_id: str, *, livemode: bool | None) -> bool:
        """Whether that is another account than the one that records are stored of."""
        return self.id is not None and (self.id, self.livemode) != (account_id, livemode)

    def __str__(self) -> str:
        mode = {True: "live mode", False: "test mode", None: ""}[self.livemode]
        return f"{self.id}{f' ({mode})' if mode else ''}"


_READ = """
    SELECT account_id, account_livemode, account_epoch, account_doubts, account_settled
    FROM connector_configs WHERE id = %s
"""


async def known(conn: AsyncConnection[Any], connection_id: UUID, *, lock: bool = False) -> KnownAccount:
    """What is known of a connection's account, in a transaction of its workspace.

    Raises:
        ConnectionNotFoundError: If the workspace has no such connection.
    """
    result = await conn.execute(f"{_READ} {'FOR NO KEY UPDATE' if lock else ''}".encode(), (connection_id,))
    if (row := await result.fetchone()) is None:
        raise ConnectionNotFoundError(connection_id)
    return KnownAccount(*row)


async def settle(
    db: Database,
    connection: ConnectionSummary,
    account_id: str,
    *,
    livemode: bool | None,
    doubts: int,
    actor: str,
) -> KnownAccount:
    """Note whose account the credentials open; bury what is stored of another one.

    Args:
        db: Where.
        connection: Whose credentials.
        account_id: The account's id at the provider.
        livemode: False for test mode; None where the provider knows none.
        doubts: What there were of them before the credentials were read: a change since then is a doubt still.
        actor: For the audit log, where it is another account.

    Raises:
        ConnectionNotFoundError: If the connection was removed.
        StoreError: If the database fails.
    """
    async with db.workspace(connection.workspace_id) as conn:
        former = await known(conn, connection.id, lock=True)
        if former.settled > doubts:
            return former  # somebody else has asked since then
        is_other = former.is_other(account_id, livemode=livemode)
        if is_other:
            await _bury(conn, connection)
        await conn.execute(
            """
            UPDATE connector_configs SET account_id = %s, account_livemode = %s, account_settled = %s,
                account_epoch = account_epoch + %s
            WHERE id = %s
            """,
            (account_id, livemode, doubts, int(is_other), connection.id),
        )
        settled = await known(conn, connection.id)
        if is_other:
            await audit.record(
                conn,
                connection.workspace_id,
                actor=actor,
                action="connection.account",
                subject=f"connection {connection.id}",
                outcome="allowed",
                detail={"from": str(former), "to": str(settled)},
            )
    return settled


async def _bury(conn: AsyncConnection[Any], connection: ConnectionSummary) -> None:
    """Bury every record of a connection, events too: they are of another account. Its streams begin anew.

    Records count as never observed: whatever the new account says of one of these ids is newer, also where a late
    search index says it as of a time before the burial. What was still read of the former account is kept out by the
    epoch.
    """
    of = {"workspace": connection.workspace_id, "connection": connection.id, "source": connection.connector}
    for entity in ENTITIES:
        since = f", {KEEP_SINCE}" if entity.history else ""
        noted = (
            """
            INSERT INTO customer_changes (workspace_id, connection_id, stream, source_ids)
            SELECT %(workspace)s, %(connection)s, stream, array_agg(source_id)
            FROM (SELECT stream, source_id, row_number() OVER () / 2000 AS part FROM buried) AS b
            GROUP BY stream, part
            """
            if entity is CUSTOMERS
            else "SELECT count(*) FROM buried"
        )
        await conn.execute(
            f"""
            WITH buried AS (
                UPDATE {entity.table} SET deleted_at = now(), is_active = false, synced_at = now(){since}
                WHERE connection_id = %(connection)s AND source_system = %(source)s AND deleted_at IS NULL
                RETURNING stream, source_id
            ) {noted}
            """.encode(),  # noqa: S608 - names from above
            of,
        )
        await conn.execute(
            f"""
            UPDATE {entity.table} SET observed_at = 'epoch'
            WHERE connection_id = %(connection)s AND source_system = %(source)s AND observed_at > 'epoch'
            """.encode(),  # noqa: S608 - names from above
            of,
        )
    for table in _FORGOTTEN:
        await conn.execute(
            f"DELETE FROM {table} WHERE connector_config_id = %(connection)s".encode(),  # noqa: S608 - from above
            of,
        )
