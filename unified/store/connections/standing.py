"""What connections of all workspaces have stored, counted by one statement however many there are."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from unified.schema.entities import ENTITIES
from unified.store.connections.across import read_across
from unified.store.connections.rows import ConnectionSummary, streams_read
from unified.store.database import Database

_ROWS = "".join(
    f"""
    SELECT one, 'rows', t.stream, count(*) FROM {entity.table} AS t
    WHERE (t.workspace_id, t.connection_id, t.source_system) = (own, one, source) AND t.deleted_at IS NULL
    GROUP BY t.stream
    UNION ALL
    """  # noqa: S608 - names of tables
    for entity in ENTITIES
)
_COUNTS = f"""{_ROWS}
    SELECT one, 'rejects', t.stream, count(*) FROM rejects AS t
    WHERE (t.workspace_id, t.connector_config_id) = (own, one) GROUP BY t.stream
    UNION ALL
    SELECT one, 'burials', t.stream, count(*) FROM waiting_burials AS t
    WHERE (t.workspace_id, t.connector_config_id) = (own, one) GROUP BY t.stream
"""  # noqa: S608 - from above


@dataclass(frozen=True, slots=True)
class _Count:
    connection: UUID
    what: str
    stream: str
    found: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What a connection has stored.

    Attributes:
        rows: Live records, of each stream that it reads, if only none.
        rejects: Raw records that could not be mapped, by stream; a stream without any is left out.
        burials: Full refreshes that wait before they mark much as deleted, by stream, likewise.
    """

    rows: dict[str, int]
    rejects: dict[str, int] = field(default_factory=dict)
    burials: dict[str, int] = field(default_factory=dict)


async def stored(db: Database, connections: Sequence[ConnectionSummary]) -> dict[UUID, Stored]:
    """What some connections, of whichever workspaces, have stored, by their ids."""
    read = await streams_read(db, connections)
    counted: dict[tuple[UUID, str], dict[str, int]] = defaultdict(dict)
    columns = "connection uuid, what text, stream text, found bigint"
    for count in await read_across(db, connections, _Count, columns, _COUNTS):
        counted[count.connection, count.what][count.stream] = count.found
    return {
        one.id: Stored(
            dict.fromkeys(read.get(one.id, ()), 0) | counted[one.id, "rows"],
            counted[one.id, "rejects"],
            counted[one.id, "burials"],
        )
        for one in connections
    }
