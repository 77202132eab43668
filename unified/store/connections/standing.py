"""What connections of all workspaces have stored, counted in one transaction however many there are.

A transaction for each takes a minute with ten thousand of them. The app's role sees one workspace at a time here as
anywhere; the server goes from one to the next by itself, in a function of the session's own.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from unified.schema.entities import ENTITIES
from unified.store.connections.rows import READS, ConnectionSummary
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
# Plans are made once: making them would take longer than the counts of a small workspace.
_MAKE = f"""
    CREATE OR REPLACE FUNCTION pg_temp.stored(workspaces uuid[], connections uuid[], connectors text[])
    RETURNS TABLE (connection uuid, what text, stream text, found bigint)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
    DECLARE
        own uuid;
        one uuid;
        source text;
    BEGIN
        FOR own, one, source IN SELECT * FROM unnest(workspaces, connections, connectors) LOOP
            PERFORM set_config('app.workspace_id', own::text, true);
            RETURN QUERY {_ROWS}
            SELECT one, 'rejects', t.stream, count(*) FROM rejects AS t
            WHERE (t.workspace_id, t.connector_config_id) = (own, one) GROUP BY t.stream
            UNION ALL
            SELECT one, 'burials', t.stream, count(*) FROM waiting_burials AS t
            WHERE (t.workspace_id, t.connector_config_id) = (own, one) GROUP BY t.stream;
        END LOOP;
        PERFORM set_config('app.workspace_id', '', true);
    END $$
"""  # noqa: S608 - from above


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
    async with db.scheduler() as conn:
        result = await conn.execute(
            f"""
            SELECT c.id, array_agg(h.stream) FROM connector_configs AS c JOIN connectors AS k ON k.name = c.connector
            CROSS JOIN unnest(k.streams) AS h (stream)
            WHERE c.id = ANY(%s) AND {READS} GROUP BY c.id
            """.encode(),  # noqa: S608 - a condition
            ([one.id for one in connections],),
        )
        read = dict(await result.fetchall())
    counted: dict[tuple[UUID, str], dict[str, int]] = defaultdict(dict)
    async with db.no_workspace() as conn:
        await conn.execute(_MAKE.encode())
        result = await conn.execute(
            "SELECT * FROM pg_temp.stored(%s, %s, %s)",
            (
                [one.workspace_id for one in connections],
                [one.id for one in connections],
                [one.connector for one in connections],
            ),
        )
        async for connection_id, what, stream, found in result:
            counted[connection_id, what][stream] = found
    return {
        one.id: Stored(
            dict.fromkeys(read.get(one.id, ()), 0) | counted[one.id, "rows"],
            counted[one.id, "rejects"],
            counted[one.id, "burials"],
        )
        for one in connections
    }
