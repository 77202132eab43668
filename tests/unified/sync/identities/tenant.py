"""A workspace with customers in two sources, and what the resolver makes of them."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.streams import key_of
from unified.schema import UnifiedCustomer, connection_namespace, unified_id
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import golden as identities
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces
from unified.sync.identities.resolve import Progress, resolve, settle

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

Record = tuple[str, str]
"""Connector and source id."""


class Tenant:
    """One workspace."""

    def __init__(self, db: Database, connections: Collection[Connection]) -> None:
        self.db = db
        self.connections = {connection.connector: connection for connection in connections}
        self.workspace_id = next(iter(connections)).workspace_id
        self._moment = 0

    @classmethod
    async def create(cls, db: Database, slug: str) -> "Tenant":
        registry = Registry(db)
        workspace = await workspaces.create(db, slug)
        return cls(
            db,
            [await registry.add_connection(workspace.id, name, name) for name in ("stripe", "hubspot")],
        )

    def key(self, connector: str) -> StreamKey:
        return key_of(self.connections[connector], "customers")

    def id(self, record: Record) -> UUID:
        key = self.key(record[0])
        return unified_id(connection_namespace(key.workspace_id, key.connection_id, key.stream), record[1])

    def customer(self, connector: str, source_id: str, **fields: Any) -> UnifiedCustomer:
        self._moment += 1
        now = BEGAN + timedelta(seconds=self._moment)
        fields = {"observed_at": now, "synced_at": now, "updated_at": now, **fields}
        return UnifiedCustomer(
            source_system=connector, source_id=source_id, unified_id=self.id((connector, source_id)), **fields
        )

    async def put(self, *customers: UnifiedCustomer) -> None:
        """Store customers as a sync would, those of each connector in one commit."""
        for connector in self.connections:
            rows = [
                Row.of(customer, b"{}", hash(customer.model_dump_json()))
                for customer in customers
                if customer.source_system == connector
            ]
            if rows:
                newest = max(row.observed_at for row in rows)
                await batches.commit(self.db, self.key(connector), Batch(observed_at=newest, rows=rows))

    async def add(self, connector: str, source_id: str, **fields: Any) -> None:
        await self.put(self.customer(connector, source_id, **fields))

    async def delete(self, connector: str, source_id: str) -> None:
        self._moment += 1
        now = BEGAN + timedelta(seconds=self._moment)
        gone = [Deletion(source_id, now, now)]
        await batches.commit(self.db, self.key(connector), Batch(observed_at=now, deletions=gone))

    async def resolve(self, **options: Any) -> Progress:
        return await resolve(self.db, self.workspace_id, **options)

    async def merge(self, *records: Record) -> None:
        async with self.db.workspace(self.workspace_id) as conn:
            concerned = await identity_decisions.merge(
                conn, self.workspace_id, [self.id(record) for record in records], actor="test"
            )
        await settle(self.db, self.workspace_id, concerned)

    async def split(self, *out: Record) -> None:
        async with self.db.workspace(self.workspace_id) as conn:
            ids = [self.id(record) for record in out]
            concerned = await identity_decisions.split(conn, self.workspace_id, ids[0], ids, actor="test")
        await settle(self.db, self.workspace_id, concerned)

    async def identity(self, record: Record) -> UUID:
        async with self.db.workspace(self.workspace_id) as conn:
            return await identities.find(conn, self.id(record))

    async def golden(self, record: Record) -> identities.GoldenCustomer:
        async with self.db.workspace(self.workspace_id) as conn:
            found = await identities.golden(conn, await identities.find(conn, self.id(record)))
        assert found is not None
        return found

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.db.workspace(self.workspace_id) as conn:
            return await (await conn.execute(query.encode())).fetchall()

    async def rules(self) -> dict[Record, str | None]:
        """Why each record is where it is."""
        found = await self.rows("SELECT source_system, source_id, rule FROM customer_identities")
        return {(connector, source_id): rule for connector, source_id, rule in found}

    async def partition(self) -> set[frozenset[Record]]:
        """Which records are one; every live customer must be in exactly one identity with a golden customer."""
        found = await self.rows(
            """
            SELECT array_agg(ARRAY[source_system, source_id]), count(DISTINCT g.identity_id), max(g.records), count(*)
            FROM customer_identities LEFT JOIN golden_customers AS g USING (identity_id) GROUP BY identity_id
            """
        )
        assert all(golden == 1 and said == there for _, golden, said, there in found)
        assert len(found) == (await self.rows("SELECT count(*) FROM golden_customers"))[0][0]
        parts = [[(connector, source_id) for connector, source_id in members] for members, *_ in found]
        live = await self.rows(
            "SELECT source_system, source_id FROM unified_customers WHERE deleted_at IS NULL"
        )
        assert sorted(record for part in parts for record in part) == sorted(live)
        return {frozenset(part) for part in parts}

    async def state(self) -> dict[frozenset[Record], Any]:
        """All that a run makes but for ids: golden values with provenance, and reasons, by records."""
        found = await self.rows(
            """
            SELECT array_agg(ARRAY[source_system, source_id]),
                to_jsonb(g) - '{identity_id,workspace_id,created_at,updated_at,changed_xid}'::text[],
                array_agg(ARRAY[source_id, rule, confidence::text, linked_to::text, refused_group::text]
                          ORDER BY unified_id)
            FROM customer_identities JOIN golden_customers AS g USING (identity_id)
            GROUP BY identity_id, g.*
            """
        )
        return {
            frozenset((connector, source_id) for connector, source_id in members): (golden, reasons)
            for members, golden, reasons in found
        }

    async def forget_all(self, *, customers: bool = False) -> None:
        """Make as if nothing had been resolved yet; decisions stay."""
        tables = [
            "customer_identities",
            "golden_customers",
            "identity_records",
            "identity_keys",
            "identity_queue",
        ]
        tables += ["identity_aliases", "identity_state"] + (
            ["unified_customers", "customer_changes"] if customers else []
        )
        async with self.db.workspace(self.workspace_id) as conn:
            for table in tables:
                await conn.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - names from above

    async def keys(self) -> list[tuple[Any, ...]]:
        """All that the resolver remembers of records."""
        return await self.rows("SELECT key, unified_id, name FROM identity_keys ORDER BY 1, 2")


def parts(*groups: Iterable[str]) -> set[frozenset[Record]]:
    """A partition, written as ``s1`` for Stripe's 1 and ``h1`` for HubSpot's."""
    names = {"s": "stripe", "h": "hubspot"}
    return {frozenset((names[record[0]], record[1:]) for record in group) for group in groups}
