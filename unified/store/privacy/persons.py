"""Whose records: the customers that a request means, by e-mail address or id, with those merged into them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.schema.entities import CUSTOMERS
from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.errors import StoreError
from unified.store.rows import fetch


class UnknownRecordError(StoreError):
    """No customer has that id."""


class Record(NamedTuple):
    """One customer of one connection; the names of its columns."""

    connection_id: UUID
    stream: str
    source_id: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whose data are deleted.

    Attributes:
        records: Their customers, deleted ones too.
        addresses: E-mail addresses to look for everywhere, in lower case.
    """

    records: frozenset[Record]
    addresses: frozenset[str] = frozenset()

    def ids(self, connection_id: UUID) -> Mapping[str, frozenset[str]]:
        """Source ids of one connection by stream."""
        found: dict[str, set[str]] = {}
        for record in self.records:
            if record.connection_id == connection_id:
                found.setdefault(record.stream, set()).add(record.source_id)
        return {stream: frozenset(ids) for stream, ids in found.items()}


async def connections(conn: AsyncConnection[Any]) -> list[ConnectionSummary]:
    """All connections of the workspace, locked: nothing is stored or resolved for them until the transaction ends."""
    await conn.execute("SELECT FROM connector_configs ORDER BY id FOR UPDATE")
    return await fetch(conn, ConnectionSummary, f"{SUMMARIES} ORDER BY c.id")


async def find(
    conn: AsyncConnection[Any],
    among: Sequence[ConnectionSummary],
    *,
    email: str | None = None,
    ids: Iterable[UUID] = (),
) -> Person:
    """Whom a request means.

    Args:
        conn: A transaction of the workspace.
        among: Its connections.
        email: Customers that have this address, as their main one or a further one.
        ids: Customers by ``unified_id``.

    Raises:
        UnknownRecordError: If one of the ids is no customer's.
    """
    wanted = set(ids)
    address = email.strip().lower() if email else None
    found: set[Record] = set()
    known: set[UUID] = set()
    for connection in among:
        query = sql.SQL(
            """
            SELECT stream, source_id, unified_id FROM {}
            WHERE connection_id = %(connection)s AND (
                unified_id = ANY(%(ids)s) OR email_key = %(address)s
                OR EXISTS (SELECT FROM unnest(emails) AS e (one) WHERE lower(e.one) = %(address)s)
            )
            """
        ).format(sql.Identifier(CUSTOMERS.leaf(connection.connector)))
        rows = await conn.execute(
            query, {"connection": connection.id, "ids": list(wanted), "address": address}
        )
        for stream, source_id, unified_id in await rows.fetchall():
            found.add(Record(connection.id, stream, source_id))
            known.add(unified_id)
    suppressed = await conn.execute(
        """
        SELECT connector_config_id, stream, source_id, unified_id FROM suppressed_records
        WHERE unified_id = ANY(%s)
        """,
        (list(wanted),),
    )
    for *record, unified_id in await suppressed.fetchall():
        found.add(Record(*record))
        known.add(unified_id)
    if missing := wanted - known:
        msg = f"no customer of the workspace has the unified_id {min(missing)}; ask unified_customers for it"
        raise UnknownRecordError(msg)
    return Person(frozenset(await _with_merged(conn, found)), frozenset({address} if address else ()))


async def unfinished(conn: AsyncConnection[Any]) -> Person:
    """Records that are suppressed, as a source asked for it, and not emptied yet."""
    rows = await conn.execute(
        "SELECT connector_config_id, stream, source_id FROM suppressed_records WHERE emptied_at IS NULL"
    )
    return Person(frozenset(await _with_merged(conn, {Record(*row) for row in await rows.fetchall()})))


async def _with_merged(conn: AsyncConnection[Any], records: set[Record]) -> set[Record]:
    """Records together with those that the source merged them into, and those that were merged into them."""
    rows = await conn.execute(
        """
        WITH given AS (
            SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS g (connection_id, stream, source_id)
        ), winners AS (
            SELECT connection_id, stream, source_id FROM given
            UNION
            SELECT m.connector_config_id, m.stream, m.merged_into FROM given AS g JOIN merged_records AS m
                ON (m.connector_config_id, m.stream, m.source_id) = (g.connection_id, g.stream, g.source_id)
        )
        SELECT * FROM winners
        UNION
        SELECT m.connector_config_id, m.stream, m.source_id FROM winners AS w JOIN merged_records AS m
            ON (m.connector_config_id, m.stream, m.merged_into) = (w.connection_id, w.stream, w.source_id)
        """,
        ([one[0] for one in records], [one[1] for one in records], [one[2] for one in records]),
    )
    return {Record(*row) for row in await rows.fetchall()}
