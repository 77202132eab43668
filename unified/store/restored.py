"""Positions that another server counted: a dump was restored. Opening a database notices it, migrating mends it.

A position is the id of a transaction (:mod:`unified.store.positions`), and each server counts its own. In a new one the
counter begins anew, so what is stored from now on would come before positions that the dump brought along, and be
passed over in silence: events in the inbox, changes for routes, identities and readers of lists.
"""

from typing import Any

from psycopg import AsyncConnection, Connection

from unified.schema.entities import ENTITIES

SAID = (
    "it was restored from a dump of another server, whose transaction ids its positions are, so webhooks, routes and "
    "identities would miss what happens; run `unified migrate`, which numbers them anew"
)
"""What is wrong with a database whose positions are another server's, and what to do."""

# Whose rows have a place in the order of changes.
_ORDERED = (*(entity.table for entity in ENTITIES), "golden_customers", "gone_identities")
_TABLES = (
    "webhook_inbox", "inbox_cursors", "customer_changes", "route_cursors", "identity_state", "identity_queue",
    "sync_history", *_ORDERED, "position_server",
)  # fmt: skip
# Forced row level security hides all rows from their owner.
_FORCED = _TABLES[:-1]

# Events that were not applied come next; those that were stay behind their cursor, wherever the counter gets to.
_NUMBER_INBOX = """
    UPDATE webhook_inbox AS i SET xid = CASE WHEN n.is_applied THEN '0'::xid8 ELSE pg_current_xact_id() END
    FROM (
        SELECT l.tableoid AS leaf, l.ctid AS place,
            (l.xid, l.id) <= (coalesce(k.xid, '0'), coalesce(k.id, 0)) AS is_applied
        FROM webhook_inbox AS l
        LEFT JOIN inbox_cursors AS k ON (k.workspace_id, k.connection_id) = (l.workspace_id, l.connection_id)
    ) AS n
    WHERE (i.tableoid, i.ctid) = (n.leaf, n.place) AND (NOT n.is_applied OR i.xid >= pg_current_xact_id());
    UPDATE inbox_cursors SET xid = pg_current_xact_id(), id = 0
"""
# Whoever reads the log of changes begins anew with all customers, as after a long absence.
_FORGET_CHANGES = """
    DELETE FROM customer_changes;
    DELETE FROM route_cursors;
    UPDATE identity_state SET position = NULL, read_at = NULL;
    WITH queued AS (DELETE FROM identity_queue RETURNING workspace_id, unified_id)
    INSERT INTO identity_queue (workspace_id, unified_id) SELECT DISTINCT workspace_id, unified_id FROM queued
"""
# Rows keep their order where the counter is beyond it already; the others come first, once more for each reader.
_FORGET_ORDER = """
    UPDATE {} SET changed_xid = '0' WHERE changed_xid >= pg_current_xact_id()
"""
_FORGET_PLACES = "UPDATE sync_history SET changes_from = '0' WHERE changes_from <> '0'"
_ADOPT = "UPDATE position_server SET identifier = server_identifier()"


async def is_restored(conn: AsyncConnection[Any]) -> bool:
    """Whether another server counted the positions; asked as the scheduler's role."""
    row = await (await conn.execute("SELECT positions_are_foreign()")).fetchone()
    return bool(row and row[0])


def renumber(conn: Connection[Any]) -> None:
    """Number all positions as this server counts, in one transaction.

    Events that were received and not applied are applied next, each once. Routes and identities look at all customers
    again, which changes nothing that agrees already.

    Args:
        conn: The tables' owner.
    """
    with conn.transaction():
        conn.execute(f"LOCK TABLE {', '.join(_TABLES)} IN ACCESS EXCLUSIVE MODE".encode())
        for table in _FORCED:
            conn.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY".encode())
        order = [_FORGET_ORDER.format(table) for table in _ORDERED]
        for statements in (_NUMBER_INBOX, _FORGET_CHANGES, *order, _FORGET_PLACES, _ADOPT):
            conn.execute(statements.encode())
        for table in _FORCED:
            conn.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY".encode())
