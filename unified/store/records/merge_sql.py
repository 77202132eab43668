"""The SQL of one commit, statement by statement.

What runs when, with which data: see :mod:`unified.store.records.batches`.

Braces hold names: the key's own leaf as ``{leaf}``, the others as :func:`names` has them. ``%(…)s`` are
parameters, those of :meth:`unified.store.records.tables.StreamKey.parameters` among them.
"""

from functools import cache

from psycopg import sql

from unified.schema.entities import CUSTOMERS
from unified.store.records.tables import UnifiedTable

# Written by the merge itself, the same for the whole batch.
_BATCH_COLUMNS = ("workspace_id", "connection_id", "source_system", "stream", "schema_version")
_KEY_COLUMNS = ("workspace_id", "connection_id", "source_id", "source_system", "stream")

# PostgreSQL's toaster leaves rows of up to this many bytes whole, so that staging neither compresses nor
# splits them.
_STAGED_WHOLE = 8160

# Which customers a statement changed (:mod:`unified.store.records.changes`): its ``{noted}``, before its last
# SELECT. In parts, so that a reader never has to take in all that one statement buried.
_NOTED = """, noted AS (
        INSERT INTO customer_changes (workspace_id, connection_id, source_ids)
        SELECT %(workspace)s, %(connection)s, array_agg(source_id)
        FROM (SELECT source_id, row_number() OVER () / 2000 AS part FROM changed) AS c
        GROUP BY part
    )"""

# The last full refresh that ran to its end, which confirmed all that is stored.
FLOOR = """
    SELECT refreshed_at FROM cursors
    WHERE connector_config_id = %(connection)s AND stream = %(stream)s
"""

# One for each table and session; emptied by every commit.
STAGING = "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({definitions}) {options}"

# Staged rows into the leaf: new ones, and those that differ and are not older than what is stored.
MERGE = """
    WITH changed AS (
        INSERT INTO {leaf} AS t (workspace_id, connection_id, source_system, stream, schema_version, {columns})
        SELECT %(workspace)s, %(connection)s, %(connector)s, %(stream)s, %(version)s, {columns} FROM {staging}
        ON CONFLICT (workspace_id, connection_id, source_id, stream) DO UPDATE SET {assignments}
        WHERE (t.content_hash, t.schema_version, t.deleted_at)
                IS DISTINCT FROM (excluded.content_hash, excluded.schema_version, excluded.deleted_at)
            AND (t.observed_at = excluded.observed_at
                 OR excluded.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz))
        RETURNING xmax = 0 AS is_new, source_id
    ){noted}
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM changed
"""

# Stored content was seen again.
CONFIRM = """
    UPDATE {leaf} AS t SET observed_at = s.observed_at
    FROM unnest(%(ids)s::text[], %(hashes)s::bigint[], %(observed)s::timestamptz[])
        AS s (source_id, content_hash, observed_at)
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
        AND (t.source_id, t.content_hash) = (s.source_id, s.content_hash)
        AND t.deleted_at IS NULL AND t.observed_at < s.observed_at
"""

# Tombstones; counts those that were alive.
BURY = """
    WITH alive AS (
        SELECT source_id FROM {leaf}
        WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s)
            AND deleted_at IS NULL
    ), changed AS (
        INSERT INTO {leaf} AS t (workspace_id, connection_id, source_system, stream, source_id, unified_id,
            schema_version, content_hash, observed_at, synced_at, deleted_at, is_active)
        SELECT %(workspace)s, %(connection)s, %(connector)s, %(stream)s, s.source_id, s.unified_id,
            %(version)s, 0, s.observed_at, now(), s.deleted_at, false
        FROM unnest(%(ids)s::text[], %(unified_ids)s::uuid[], %(deleted)s::timestamptz[],
            %(observed)s::timestamptz[]) AS s (source_id, unified_id, deleted_at, observed_at)
        ON CONFLICT (workspace_id, connection_id, source_id, stream) DO UPDATE SET
            deleted_at = excluded.deleted_at, is_active = false, observed_at = excluded.observed_at,
            synced_at = excluded.synced_at
        WHERE excluded.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz)
            AND (t.deleted_at IS NULL OR t.observed_at < excluded.observed_at)
        RETURNING source_id
    ){noted}
    SELECT count(*) FROM changed JOIN alive USING (source_id)
"""

# Whether the stream has any reject.
HAS_REJECTS = """
    SELECT FROM rejects WHERE connector_config_id = %(connection)s AND stream = %(stream)s LIMIT 1
"""

# Rejects of records that are now known in a later state.
SOLVE = """
    DELETE FROM rejects AS r USING unnest(%(solved)s::text[], %(observed)s::timestamptz[])
        AS s (source_id, observed_at)
    WHERE r.connector_config_id = %(connection)s AND r.stream = %(stream)s
        AND r.record_key = s.source_id AND r.observed_at <= s.observed_at
"""

# Rejects, but for records that are stored in a later state.
SET_ASIDE = """
    INSERT INTO rejects AS r (workspace_id, connector_config_id, stream, record_key,
        source_id, raw, error, observed_at)
    SELECT %(workspace)s, %(connection)s, %(stream)s, s.*
    FROM unnest(%(keys)s::text[], %(ids)s::text[], %(raws)s::bytea[], %(errors)s::text[],
        %(observed)s::timestamptz[]) AS s (key, source_id, raw, error, observed_at)
    WHERE (
        SELECT t.observed_at <= s.observed_at FROM {leaf} AS t
        WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = s.source_id
    ) IS NOT FALSE
    ON CONFLICT (workspace_id, connector_config_id, stream, record_key) DO UPDATE SET
        raw = excluded.raw, error = excluded.error, observed_at = excluded.observed_at,
        last_seen_at = now()
    WHERE r.observed_at <= excluded.observed_at
"""

# Ids that a full refresh met.
REMEMBER_MET = """
    INSERT INTO refresh_seen (workspace_id, connector_config_id, stream, refresh_started_at, source_ids)
    VALUES (%(workspace)s, %(connection)s, %(stream)s, %(started)s, %(met)s)
"""

# The full refresh is done.
FORGET_MET = "DELETE FROM refresh_seen WHERE connector_config_id = %(connection)s AND stream = %(stream)s"

# Rejects of records that a full refresh did not meet.
DROP_UNMET_REJECTS = """
    DELETE FROM rejects WHERE connector_config_id = %(connection)s AND stream = %(stream)s
        AND observed_at < %(started)s
"""

# What a full refresh did not meet is gone; counted.
BURY_UNMET = """
    WITH met AS MATERIALIZED (
        SELECT unnest(source_ids) AS source_id FROM refresh_seen
        WHERE connector_config_id = %(connection)s AND stream = %(stream)s
            AND refresh_started_at = %(started)s
    ), changed AS (
        UPDATE {leaf} AS t SET deleted_at = %(started)s, is_active = false, observed_at = %(started)s,
            synced_at = now()
        WHERE connection_id = %(connection)s AND stream = %(stream)s AND deleted_at IS NULL
            AND observed_at < %(started)s AND NOT EXISTS (SELECT FROM met WHERE met.source_id = t.source_id)
        RETURNING source_id
    ){noted}
    SELECT count(*) FROM changed
"""

# Where the stream goes on from.
MOVE_CURSOR = """
    INSERT INTO cursors AS c (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)
    VALUES (%(workspace)s, %(connection)s, %(stream)s, %(cursor)s, %(observed)s, %(refreshed)s)
    ON CONFLICT (workspace_id, connector_config_id, stream) DO UPDATE SET
        cursor = excluded.cursor, observed_at = greatest(c.observed_at, excluded.observed_at),
        refreshed_at = coalesce(excluded.refreshed_at, c.refreshed_at), updated_at = now()
"""

# Counts of the sync's history.
COUNT = """
    UPDATE sync_history SET
        records_read = records_read + %(read)s, inserted = inserted + %(inserted)s,
        updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
        rejected = rejected + %(rejected)s, deleted = deleted + %(deleted)s
    WHERE id = %(history)s
"""


def staged_columns(table: UnifiedTable) -> list[str]:
    """The columns that are copied: the record's own, then the raw record and its hash."""
    own = [column.name for column in table.columns if column.name not in (*_BATCH_COLUMNS, "raw_data")]
    return [*own, "raw_data", "content_hash"]


@cache
def names(table: UnifiedTable) -> dict[str, sql.Composable]:
    """What the statements have in their braces, but for ``{leaf}``."""
    columns = staged_columns(table)
    types = {column.name: column.type for column in table.columns} | {"content_hash": "bigint"}
    changing = [name for name in (*columns, "schema_version") if name not in _KEY_COLUMNS]
    comma = sql.SQL(", ")
    return {
        "noted": sql.SQL(_NOTED if table.entity is CUSTOMERS else ""),
        "staging": sql.Identifier(f"staging_{table.entity.table}"),
        "columns": comma.join(map(sql.Identifier, columns)),
        "definitions": comma.join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name])) for name in columns
        ),
        "options": sql.SQL(f"WITH (toast_tuple_target = {_STAGED_WHOLE}) ON COMMIT DELETE ROWS"),
        "assignments": comma.join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changing
        ),
    }
