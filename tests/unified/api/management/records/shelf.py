"""A workspace with records of every kind, which tests read back over the API."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

from tests.unified.api.management.rig import Api, Tenant
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.schema import UnifiedBase, UnifiedLineItem, connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS, ENTITIES, EVENTS, INVOICES, RECORDS, Entity
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LISTS = ("customers", "invoices", "events", "records", "identities")
STREAMS = {CUSTOMERS: "customers", INVOICES: "invoices", EVENTS: "events", RECORDS: "deals"}

# Values that a browser, a spreadsheet or a log might take for more than text.
ODD = "<script>alert(1)</script>\"'&=cmd|' /C calc'!A0\u202e\\u0000"

_moments = count(1)


def record(key: StreamKey, source_id: str, **fields: Any) -> UnifiedBase:
    """A record of a stream, with what its model needs."""
    now = BEGAN + timedelta(seconds=next(_moments))
    needed: dict[Entity, dict[str, Any]] = {
        EVENTS: {"event_type": "customer.updated", "occurred_at": now},
        INVOICES: {
            "total": Decimal("12345678901234567.89"),
            "currency": "EUR",
            "customer_id": "1",
            "issue_date": now,
            "line_items": (UnifiedLineItem(description="work", amount=Decimal("0.10"), quantity=Decimal(1)),),
        },
    }
    place = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    return key.entity.model(
        source_system=key.connector,
        source_id=source_id,
        unified_id=unified_id(place, source_id),
        **{"observed_at": now, "synced_at": now, **needed.get(key.entity, {}), **fields},
    )


@dataclass
class Shelf:
    """A workspace's connection, and what is stored of it."""

    tenant: Tenant
    connection: Connection
    raw: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    async def of(cls, api: Api, slug: str, *, name: str = "main") -> "Shelf":
        return await cls.beside(await api.tenant(slug), name)

    @classmethod
    async def beside(cls, tenant: Tenant, name: str) -> "Shelf":
        made = await tenant.add(name)
        return cls(tenant, await Registry(tenant.api.db).get_connection(tenant.id, UUID(made["id"])))

    def key(self, entity: Entity, stream: str | None = None) -> StreamKey:
        return StreamKey(
            self.tenant.id, self.connection.id, self.connection.connector, entity, stream or STREAMS[entity]
        )

    async def put(self, entity: Entity, *ids: str, stream: str | None = None, **fields: Any) -> None:
        """Store records in one commit."""
        key = self.key(entity, stream)
        rows = []
        for source_id in ids:
            one = record(key, source_id, **fields)
            raw = self.raw.get(source_id, b'{"id": "%s", "amount": 1.10}' % source_id.encode())
            rows.append(Row.of(one, raw, hash(one.model_dump_json())))
        newest = max(row.observed_at for row in rows)
        await batches.commit(self.tenant.api.db, key, Batch(observed_at=newest, rows=rows))

    async def delete(self, entity: Entity, *ids: str) -> None:
        now = BEGAN + timedelta(seconds=next(_moments))
        gone = [Deletion(source_id, now, now) for source_id in ids]
        await batches.commit(self.tenant.api.db, self.key(entity), Batch(observed_at=now, deletions=gone))

    async def fill(self) -> None:
        """Three of each entity, and an identity for each customer."""
        for entity in ENTITIES:
            await self.put(entity, "1", "2", "3", **({"name": ODD} if entity in (CUSTOMERS, RECORDS) else {}))
        await Customers(self.tenant.api.db, [self.connection]).resolve()

    async def pages(self, name: str, **query: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["next"]:
            where = {**query, **({"cursor": found[-1]["next"]} if found else {})}
            found.append(await self.tenant.ask("GET", f"/api/{name}", params=where))
        return found

    async def ids(self, name: str, **query: Any) -> list[str]:
        """Source ids of a list, page by page."""
        return [item["source_id"] for page in await self.pages(name, **query) for item in page["items"]]


def only(items: Sequence[Any]) -> Any:
    """The one that there is."""
    (one,) = items
    return one
