"""Working off the queue of identities: which records are linked, and which identities they became.

A scope is closed: whatever is linked with a record of it, by a key or a pair, or stood in one identity with it, is in
it too. So it can be resolved by itself, and the result is the same as if everything were resolved anew. How it is
resolved is decided in `unified.sync.identities`.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.store.identities import sql as identity_sql
from unified.store.identities.records import (
    CUSTOMER_COLUMNS,
    Customer,
    Most,
    by_index,
    fetch_customers,
    live_parameters,
)

_READ_CUSTOMERS = 5_000


class Pair(NamedTuple):
    """Two records that are linked whatever their keys say.

    Attributes:
        low: The one with the smaller id.
        high: The other.
        rule: Number of the rule.
        confidence: From 0 to 1.
    """

    low: UUID
    high: UUID
    rule: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Scope:
    """Records that are to be resolved together.

    Attributes:
        vanished: Of the records that it was begun with, those that are no longer there.
        snapshot: What was committed when it was taken; what was queued later stays in the queue.
        members: The identity that each record is in so far; None for a new one.
        groups: Keys that hold, with the records that carry them: two at least.
        pairs: Other links.
        apart: Pairs that people decided to be different.
        ages: When each of the identities came up.
    """

    vanished: list[UUID]
    snapshot: str
    members: dict[UUID, UUID | None]
    groups: list[tuple[int, list[UUID]]]
    pairs: list[Pair]
    apart: list[tuple[UUID, UUID]]
    ages: dict[UUID, datetime]


class Member(NamedTuple):
    """A record's place in an identity.

    Attributes:
        customer: The record.
        identity_id: The identity.
        rule: Why it is in there; None for the first of it.
        confidence: From 0 to 1.
        linked_to: The record that it is linked with.
        refused_group: Set where a group was too large to be one customer.
    """

    customer: Customer
    identity_id: UUID
    rule: str | None
    confidence: float
    linked_to: UUID | None
    refused_group: UUID | None


class Golden(NamedTuple):
    """The best of all records of an identity.

    Attributes:
        identity_id: The identity.
        records: How many there are.
        sources: Connectors that they come from, in alphabetical order.
        provenance: For each field of the others, where its value comes from and why.

    The others are fields of the unified model.
    """

    identity_id: UUID
    records: int
    sources: list[str]
    email: str | None
    name: str | None
    phone: str | None
    company: str | None
    kind: str | None
    billing_address: Mapping[str, Any] | None
    shipping_address: Mapping[str, Any] | None
    emails: list[str]
    phones: list[str]
    tax_number: str | None
    currency: str | None
    provenance: Mapping[str, Any]


@dataclass(slots=True)
class Resolved:
    """What was made of a scope.

    Attributes:
        members: Every record of it.
        golden: Every identity of it.
        aliases: Identities that were merged into others, by their former ids.
    """

    members: list[Member] = field(default_factory=list)
    golden: list[Golden] = field(default_factory=list)
    aliases: dict[UUID, UUID] = field(default_factory=dict)


async def queued(conn: AsyncConnection[Any], *, after: UUID, limit: int) -> list[UUID]:
    """Records of the queue, by id.

    Args:
        conn: A transaction in the workspace.
        after: The last record of those before.
        limit: How many at most.
    """
    rows = await conn.execute(identity_sql.QUEUED, {"after": after, "limit": limit})
    return [row[0] for row in await rows.fetchall()]


async def take(conn: AsyncConnection[Any], begin: Sequence[UUID], *, most: Most) -> Scope:
    """Take some records, and all that are linked with them. They stay in the queue until they are stored.

    Args:
        conn: A transaction in the workspace. No connection of it is removed before that ends.
        begin: Records to begin with.
        most: How many records may carry a key.
    """
    await conn.execute("SELECT FROM connector_configs FOR KEY SHARE")
    await by_index(conn)
    rows = await conn.execute("SELECT pg_current_snapshot()::text")
    ((snapshot,),) = await rows.fetchall()
    await conn.execute(identity_sql.SCOPE)
    await conn.execute(identity_sql.REACH, live_parameters(most) | {"begin": list(begin)})
    members: dict[UUID, UUID | None] = {}
    ages = {}
    for unified_id, identity_id, created_at in await _fetch(conn, identity_sql.MEMBERS):
        members[unified_id] = identity_id
        if created_at is not None:
            ages[identity_id] = created_at
    return Scope(
        vanished=[unified_id for unified_id in begin if unified_id not in members],
        snapshot=snapshot,
        members=members,
        groups=await _fetch(conn, identity_sql.GROUPS, live_parameters(most)),
        # What is decided on a record is kept while it is deleted.
        pairs=[
            Pair._make(row) for row in await _fetch(conn, identity_sql.PAIRS) if members.keys() >= {*row[:2]}
        ],
        apart=[pair for pair in await _fetch(conn, identity_sql.APART) if members.keys() >= {*pair}],
        ages=ages,
    )


async def _fetch(
    conn: AsyncConnection[Any], query: str, parameters: Mapping[str, Any] | None = None
) -> list[Any]:
    return await (await conn.execute(query, parameters, binary=True)).fetchall()


async def customers(conn: AsyncConnection[Any], ids: Sequence[UUID]) -> AsyncIterator[Customer]:
    """The customers of some records, in no order."""
    query = sql.SQL(
        """
        SELECT {columns} FROM identity_records AS r
        JOIN unified_customers AS u ON (u.connection_id, u.source_id, u.source_system, u.unified_id)
            = (r.connection_id, r.source_id, r.source_system, r.unified_id)
        WHERE r.unified_id = ANY(%s)
        """
    ).format(columns=CUSTOMER_COLUMNS)
    for start in range(0, len(ids), _READ_CUSTOMERS):
        some = list(ids[start : start + _READ_CUSTOMERS])
        for customer in await fetch_customers(conn, query, (some,)):
            yield customer


_MEMBER_COLUMNS = {
    "unified_id": "uuid", "identity_id": "uuid", "connection_id": "uuid", "source_system": "text", "source_id": "text",
    "rule": "text", "confidence": "float8", "linked_to": "uuid", "refused_group": "uuid",
}  # fmt: skip
_GOLDEN_COLUMNS = {
    "identity_id": "uuid", "records": "int4", "sources": "text[]", "email": "text", "name": "text", "phone": "text",
    "company": "text", "kind": "text", "billing_address": "jsonb", "shipping_address": "jsonb", "emails": "text[]",
    "phones": "text[]", "tax_number": "text", "currency": "text", "provenance": "jsonb",
}  # fmt: skip


async def store(conn: AsyncConnection[Any], workspace_id: UUID, scope: Scope, resolved: Resolved) -> None:
    """Store what was made of a scope, and take it off the queue; what did not change is not written.

    Args:
        conn: The transaction in which it was taken.
        workspace_id: The workspace.
        scope: What was taken.
        resolved: What was made of it.
    """
    await _upsert(
        conn,
        workspace_id,
        "customer_identities",
        _MEMBER_COLUMNS,
        [
            (
                member.customer.unified_id,
                member.identity_id,
                *member.customer[1:4],
                member.rule,
                member.confidence,
                member.linked_to,
                member.refused_group,
            )
            for member in resolved.members
        ],
    )
    await _upsert(conn, workspace_id, "golden_customers", _GOLDEN_COLUMNS, resolved.golden)
    if resolved.aliases:
        former, current = list(resolved.aliases), list(resolved.aliases.values())
        await conn.execute(identity_sql.REMOVE_MERGED, {"workspace": workspace_id, "former": former})
        await conn.execute(
            """
            UPDATE identity_aliases AS a SET identity_id = m.current
            FROM unnest(%s::uuid[], %s::uuid[]) AS m (former, current) WHERE a.identity_id = m.former
            """,
            (former, current),
        )
        await conn.execute(
            """
            INSERT INTO identity_aliases (workspace_id, alias_id, identity_id)
            SELECT %s, * FROM unnest(%s::uuid[], %s::uuid[])
            ON CONFLICT (workspace_id, alias_id) DO UPDATE SET identity_id = excluded.identity_id, since = now()
            """,
            (workspace_id, former, current),
        )
    await conn.execute(
        """
        DELETE FROM identity_queue
        WHERE unified_id = ANY(%s) AND pg_visible_in_snapshot(xid, %s::pg_snapshot)
        """,
        ([*scope.members, *scope.vanished], scope.snapshot),
    )


async def _upsert(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Insert rows, and update those that differ; the first column is the key within the workspace."""
    identifiers = {name: sql.Identifier(name) for name in columns}
    key, *others = identifiers.values()
    parts = {
        "table": sql.Identifier(table),
        "staging": sql.Identifier(f"staged_{table}"),
        "key": key,
        "columns": sql.SQL(", ").join(identifiers.values()),
        "definitions": sql.SQL(", ").join(
            sql.SQL("{} {}").format(identifiers[name], sql.SQL(kind)) for name, kind in columns.items()
        ),
        "mine": sql.SQL(", ").join(sql.SQL("t.{}").format(name) for name in others),
        "new": sql.SQL(", ").join(sql.SQL("excluded.{}").format(name) for name in others),
        "assignments": sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in others),
    }
    await conn.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({definitions}) ON COMMIT DELETE ROWS"
        ).format(**parts)
    )
    encoded = [place for place, kind in enumerate(columns.values()) if kind == "jsonb"]
    copied = sql.SQL("COPY {staging} ({columns}) FROM STDIN (FORMAT BINARY)").format(**parts)
    async with conn.cursor().copy(copied) as copy:
        # Binary COPY carries no types, so JSON that is encoded here is passed on as bytes.
        copy.set_types(["bytea" if kind == "jsonb" else kind for kind in columns.values()])
        for row in rows:
            values = list(row)
            for place in encoded:
                values[place] = _jsonb(values[place])
            await copy.write_row(values)
    await conn.execute(
        sql.SQL(
            """
            INSERT INTO {table} AS t (workspace_id, {columns}) SELECT %s, {columns} FROM {staging} ORDER BY {key}
            ON CONFLICT (workspace_id, {key}) DO UPDATE SET {assignments}, updated_at = now()
            WHERE ({mine}) IS DISTINCT FROM ({new})
            """
        ).format(**parts),
        (workspace_id,),
    )


def _jsonb(value: Any) -> bytes | None:
    return None if value is None else b"\x01" + json.dumps(value).encode()


async def carriers(conn: AsyncConnection[Any], keys: Sequence[int]) -> dict[int, tuple[int, int]]:
    """How many records carry some keys, counted up to a hundred, and how many different names these have."""
    rows = await conn.execute(
        """
        SELECT k.key, count(*), count(DISTINCT c.name) FROM unnest(%s::bigint[]) AS k (key)
        CROSS JOIN LATERAL (SELECT name FROM identity_keys AS i WHERE i.key = k.key LIMIT 100) AS c
        GROUP BY k.key
        """,
        (list(keys),),
    )
    return {key: (count, names) for key, count, names in await rows.fetchall()}
