"""A connection whose records are exported, and what stores them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from unified.schema import connection_namespace, unified_id
from unified.schema.entities import Entity
from unified.store.database import Database
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.merge.deletions import Deletion
from unified.store.records.tables import StreamKey
from unified.sync.exports.export import Export, Request, export, request_format

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

_changes = count(1)


@dataclass(frozen=True)
class Warehouse:
    """A workspace's connection, and a folder for files."""

    db: Database
    workspace: UUID
    connection: UUID
    folder: Path

    def key(self, entity: Entity, stream: str | None = None) -> StreamKey:
        return StreamKey(self.workspace, self.connection, "stripe", entity, stream or entity.name)

    def row(self, entity: Entity, source_id: str, *, stream: str | None = None, **fields: Any) -> Row:
        key = self.key(entity, stream)
        place = connection_namespace(key.workspace_id, key.connection_id, key.stream)
        needed = {"event_type": "x", "occurred_at": NOW} if entity.is_log else {}
        change = next(_changes)
        one = entity.model(
            source_system="stripe",
            source_id=source_id,
            unified_id=unified_id(place, source_id),
            **{
                "observed_at": NOW.replace(microsecond=change),
                "synced_at": NOW,
                "created_at": NOW,
                **needed,
                **fields,
            },
        )
        return Row.of(one, b'{"id":\n%s}' % json.dumps(source_id).encode(), change)

    async def put(self, entity: Entity, *ids: str, stream: str | None = None, **fields: Any) -> None:
        """Store records in one commit."""
        rows = [self.row(entity, source_id, stream=stream, **fields) for source_id in ids]
        batch = Batch(observed_at=rows[-1].observed_at, rows=rows)
        await batches.commit(self.db, self.key(entity, stream), batch)

    async def delete(self, entity: Entity, source_id: str) -> None:
        at = NOW.replace(microsecond=next(_changes))
        batch = Batch(observed_at=at, deletions=[Deletion(source_id, at, at)])
        await batches.commit(self.db, self.key(entity), batch)

    async def export(self, stream: str, to: str, **choices: Any) -> Export:
        target = self.folder / to
        file_format, by_day = request_format(target, choices.pop("file_format", None))
        asked = {"workspace": "acme", "workspace_id": self.workspace, "stream": stream, "target": target}
        return await export(self.db, Request(**asked, file_format=file_format, by_day=by_day, **choices))
