"""Events for tests of what is received, and what is kept of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox import events as inbox
from unified.store.inbox import progress
from unified.store.inbox.events import Received, StoredEvent
from unified.store.positions import BEGINNING, Position
from unified.store.workspaces import workspaces

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def event(key: str, kind: str = "customer.updated", body: bytes = b"{}") -> ReceivedEvent:
    return ReceivedEvent(key, kind, T0, body)


def received(connection: ConnectionSummary, *keys: str) -> list[Received]:
    """Events with those keys, as they are appended."""
    return [Received(connection.workspace_id, connection.id, event(key)) for key in keys]


async def add_connection(
    db: Database, name: str = "main", workspace: UUID | None = None
) -> ConnectionSummary:
    """A Stripe connection, in a workspace of its own unless one is given."""
    registry = Registry(db)
    workspace_id = workspace or (await workspaces.create(db, f"of-{name}")).id
    return await registry.add_connection(workspace_id, "stripe", name)


async def read(
    db: Database, connection: ConnectionSummary, after: Position = BEGINNING, **limits: Any
) -> list[StoredEvent]:
    async with db.workspace(connection.workspace_id) as conn:
        bounds = {"limit": 10_000, "most_bytes": 10**9, **limits}
        return await inbox.read(conn, connection, after, **bounds)


async def settle(
    db: Database, connection: ConnectionSummary, former: Position, events: Sequence[StoredEvent]
) -> Position:
    """Move the cursor past some events; where it stands then."""
    position = events[-1].position
    assert position is not None
    async with db.workspace(connection.workspace_id) as conn:
        await progress.settle(conn, connection, former, position)
    return position


def keys_of(events: Sequence[StoredEvent]) -> list[str]:
    return [stored.event.dedupe_key for stored in events]
