"""Identities as people see them: golden customers, their records with reasons, and what there is to resolve.

What people decide about them is :mod:`unified.store.identities.decisions`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.errors import StoreError
from unified.store.identities.settings import FEED_KEEPS
from unified.store.rows import fetch


class IdentityError(StoreError):
    """An identity can't be changed like that."""


class IdentityNotFoundError(IdentityError):
    """There is no such identity or record in this workspace."""


@dataclass(frozen=True, slots=True)
class GoldenCustomer:
    """An identity with the best of what its records say.

    Attributes:
        identity_id: Stable for as long as any of its records stays.
        records: How many records it has.
        sources: Connectors that they come from.
        email, name, phone, company, kind, billing_address, shipping_address, emails, phones, tax_number, currency: As
            in the unified model.
        provenance: By field: which source and record won, and why.
        created_at: When it came up.
        updated_at: When any of this changed.
    """

    identity_id: UUID
    records: int
    sources: list[str]
    email: str | None
    name: str | None
    phone: str | None
    company: str | None
    kind: str | None
    billing_address: dict[str, Any] | None
    shipping_address: dict[str, Any] | None
    emails: list[str]
    phones: list[str]
    tax_number: str | None
    currency: str | None
    provenance: dict[str, dict[str, str]]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """A record of an identity.

    Attributes:
        unified_id: The record.
        connection: Name of its connection.
        source_system: Its connector.
        source_id: Its id there.
        rule: Why it is here; None for the first one, to which the others are linked.
        confidence: From 0 to 1.
        linked_to: The record that the rule links it with.
        refused_group: Set where it is linked with more records than can be one customer.
        email: For people to recognise it.
        name: Likewise.
    """

    unified_id: UUID
    connection: str
    source_system: str
    source_id: str
    rule: str | None
    confidence: float
    linked_to: UUID | None
    refused_group: UUID | None
    email: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class RefusedGroup:
    """Records that are linked and too many to be one customer.

    Attributes:
        group_id: The smallest of their ids.
        records: How many.
        names: Some of their names.
    """

    group_id: UUID
    records: int
    names: list[str]


_GOLDEN = f"SELECT {', '.join(GoldenCustomer.__dataclass_fields__)} FROM golden_customers"  # noqa: S608 - fields


async def find(conn: AsyncConnection[Any], reference: UUID) -> UUID:
    """The identity of that id, of that former id, or of the record with that id.

    Args:
        conn: A transaction in the workspace.
        reference: Any of the three.

    Raises:
        IdentityNotFoundError: If there is none.
    """
    rows = await conn.execute(
        """
        SELECT identity_id FROM customer_identities WHERE identity_id = %(id)s
        UNION ALL SELECT identity_id FROM customer_identities WHERE unified_id = %(id)s
        UNION ALL SELECT identity_id FROM identity_aliases JOIN customer_identities USING (identity_id)
            WHERE alias_id = %(id)s
        LIMIT 1
        """,
        {"id": reference},
    )
    if (row := await rows.fetchone()) is None:
        msg = f"there is no identity or record {reference}; `unified identities list` shows those there are"
        raise IdentityNotFoundError(msg)
    return UUID(str(row[0]))


async def listing(
    conn: AsyncConnection[Any],
    *,
    search: str | None = None,
    least_records: int = 1,
    after: UUID | None = None,
    limit: int = 100,
) -> list[GoldenCustomer]:
    """A page of identities by id.

    Args:
        conn: A transaction in the workspace.
        search: Part of an e-mail address, a name or a company, in any case.
        least_records: Leave out identities with fewer records.
        after: Id of the last one of the page before.
        limit: How many at most.
    """
    return await fetch(
        conn,
        GoldenCustomer,
        f"""
        {_GOLDEN}
        WHERE records >= %(least)s AND (%(after)s::uuid IS NULL OR identity_id > %(after)s)
            AND (%(search)s::text IS NULL
                 OR strpos(lower(concat_ws(' ', email, name, company)), lower(%(search)s)) > 0)
        ORDER BY identity_id LIMIT %(limit)s
        """,
        search=search,
        least=least_records,
        after=after,
        limit=limit,
    )


async def golden(conn: AsyncConnection[Any], identity_id: UUID) -> GoldenCustomer | None:
    """The golden customer of an identity; None while it is being made anew."""
    found = await fetch(conn, GoldenCustomer, _GOLDEN + " WHERE identity_id = %(id)s", id=identity_id)
    return found[0] if found else None


async def records(conn: AsyncConnection[Any], identity_id: UUID) -> list[IdentityRecord]:
    """The records of an identity, the first one before those that are linked to it."""
    return await fetch(
        conn,
        IdentityRecord,
        """
        SELECT m.unified_id, c.name AS connection, m.source_system, m.source_id, m.rule, m.confidence, m.linked_to,
            m.refused_group, u.email, u.name
        FROM customer_identities AS m
        JOIN connector_configs AS c ON c.id = m.connection_id
        LEFT JOIN unified_customers AS u ON (u.connection_id, u.source_id, u.source_system, u.unified_id)
            = (m.connection_id, m.source_id, m.source_system, m.unified_id)
        WHERE m.identity_id = %(id)s ORDER BY m.rule NULLS FIRST, m.unified_id
        """,
        id=identity_id,
    )


async def former_ids(conn: AsyncConnection[Any], identity_id: UUID) -> list[UUID]:
    """Ids of identities that were merged into this one."""
    rows = await conn.execute(
        "SELECT alias_id FROM identity_aliases WHERE identity_id = %s ORDER BY since, alias_id",
        (identity_id,),
    )
    return [row[0] for row in await rows.fetchall()]


async def refused_groups(conn: AsyncConnection[Any], *, limit: int = 100) -> list[RefusedGroup]:
    """Groups that were too large to be one customer, the largest first; a person should look at them."""
    return await fetch(
        conn,
        RefusedGroup,
        """
        SELECT m.refused_group AS group_id, count(*)::integer AS records,
            (array_agg(DISTINCT g.name) FILTER (WHERE g.name IS NOT NULL))[1:3] AS names
        FROM customer_identities AS m JOIN golden_customers AS g USING (identity_id)
        WHERE m.refused_group IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(limit)s
        """,
        limit=limit,
    )


@dataclass(frozen=True, slots=True)
class Due:
    """A workspace in which there is something to resolve."""

    workspace_id: UUID
    workspace: str


async def due(conn: AsyncConnection[Any], streams: Collection[str]) -> list[Due]:
    """Workspaces whose customers, links or decisions changed since they were resolved; seen by the scheduler's role.

    One that was not resolved for as long as the feed of changes keeps them is due as well, for what may be forgotten.

    Args:
        conn: The scheduler's.
        streams: Names of the streams that bring customers, of any connector.
    """
    return await fetch(
        conn,
        Due,
        f"""
        SELECT w.id AS workspace_id, w.slug AS workspace FROM workspaces AS w
        LEFT JOIN identity_state AS s ON s.workspace_id = w.id
        -- Not EXISTS, which the planner may answer by reading the whole queue.
        WHERE (SELECT true FROM identity_queue AS q WHERE q.workspace_id = w.id LIMIT 1)
            OR (s.read_at > now() - interval '{FEED_KEEPS}') IS NOT TRUE AND EXISTS (
                SELECT FROM cursors AS k WHERE k.workspace_id = w.id AND k.stream = ANY(%(streams)s)
            )
            OR EXISTS (
                SELECT FROM connector_configs AS c CROSS JOIN LATERAL (
                    SELECT FROM customer_changes AS f
                    WHERE f.workspace_id = w.id AND f.connection_id = c.id
                        AND f.xid >= pg_snapshot_xmin(s.position)
                        AND NOT pg_visible_in_snapshot(f.xid, s.position)
                    LIMIT 1
                ) AS changed
                WHERE c.workspace_id = w.id
            )
        ORDER BY w.slug
        """,  # noqa: S608 - a constant
        streams=list(streams),
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are in a workspace.

    Attributes:
        records: Live customers that the resolver knows.
        resolved: Those that are in an identity.
        identities: Golden customers.
        without_golden: Identities that lack one.
    """

    records: int
    resolved: int
    identities: int
    without_golden: int


async def counts(conn: AsyncConnection[Any]) -> Counts:
    """Count records and identities of the transaction's workspace."""
    (found,) = await fetch(
        conn,
        Counts,
        """
        SELECT (SELECT count(*) FROM identity_records) AS records,
            (SELECT count(*) FROM identity_records JOIN customer_identities USING (unified_id)) AS resolved,
            (SELECT count(*) FROM golden_customers) AS identities,
            (SELECT count(DISTINCT identity_id) FROM customer_identities AS m WHERE NOT EXISTS (
                SELECT FROM golden_customers AS g WHERE g.identity_id = m.identity_id)) AS without_golden
        """,
    )
    return found
