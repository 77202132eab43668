"""The SQL of one commit, statement by statement.

What runs when, with which data: see :mod:`unified.store.records.merge.batches`.

Braces hold names: the key's own leaf as ``{leaf}``, the others as :func:`names` has them. ``%(…)s`` are
parameters, those of :meth:`unified.store.records.tables.StreamKey.parameters` among them.
"""

from functools import cache

from psycopg import sql

from unified.schema.entities import CUSTOMERS
from unified.store.records import suppressions
from unified.store.records.tables import UnifiedTable
from unified.store.rows import KEEP_SINCE

# Written by the merge itself, the same for the whole batch.
_BATCH_COLUMNS = ("workspace_id", "connection_id", "source_system", "stream", "schema_version")
_KEY_COLUMNS = ("workspace_id", "connection_id", "source_id", "source_system", "stream")

RAW_COLUMNS = ("raw_data", "raw_compressed")
"""The forms of a raw record; one of them is null."""

# PostgreSQL's toaster leaves rows of up to this many bytes whole, so that staging neither compresses nor
# splits them.
_STAGED_WHOLE = 8160

# Which customers a statement changed (:mod:`unified.store.records.changes`): its ``{noted}``, before its last
# SELECT. In parts, so that a reader never has to take in all that one statement buried.
_NOTED = """, noted AS (
        INSERT INTO customer_changes (workspace_id, connection_id, stream, source_ids)
        SELECT %(workspace)s, %(connection)s, %(stream)s, array_agg(source_id)
        FROM (SELECT source_id, row_number() OVER () / 2000 AS part FROM changed) AS c
        GROUP BY part
    )"""

# The connection's epoch and columns, which stay until the commit, whether the stream's former states are kept, and when
# it begins. A change of its account, of what is suppressed, or of the form of raw records, locks its row before. A
# statement of its own waits for that, so that the next one sees what was done.
LOCK = """
    SELECT account_epoch, columns, %(stream)s = ANY(history),
        (since ->> %(stream)s)::timestamp AT TIME ZONE 'UTC'
    FROM connector_configs WHERE id = %(connection)s FOR SHARE
"""

# The last full refresh that ran to its end, which confirmed all that is stored; whether anything is suppressed; whether
# raw records are compressed.
FLOOR = """
    SELECT (
        SELECT refreshed_at FROM cursors WHERE connector_config_id = %(connection)s AND stream = %(stream)s
    ), EXISTS (SELECT FROM suppressed_records WHERE connector_config_id = %(connection)s),
    (SELECT compresses_raw FROM workspaces WHERE id = %(workspace)s)
"""

# Which of some records have rows.
STORED_OF = """
    SELECT source_id FROM {leaf}
    WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s)
"""

# One for each table and session; emptied by every commit.
STAGING = "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({definitions}) {options}"

# Staged rows that name a person whose data were deleted on request.
EMPTY_STAGED = "UPDATE {staging} SET {emptying} WHERE source_id = ANY(%(ids)s)"

# Before states are compared: rows that another transaction changes at the moment are waited for. Which of them, or of
# the new ones, have a compressed raw record: no SQL compares it.
LOCK_STORED = """
    SELECT source_id, raw_compressed IS NOT NULL OR %(compresses)s, observed_at FROM {leaf}
    WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s)
    ORDER BY source_id FOR NO KEY UPDATE
"""

# Whether a stored row and a new one are one state of the record: it was taken from here, or the source sent it in the
# same words, which takes longest to see. Then it was only mapped anew. Unknown of a new one without a raw record. Which
# compressed ones are the same is looked up before (``same``).
_IS_SAME = """(
    %(is_known)s AND t.observed_at = {new}.observed_at
    OR CASE WHEN num_nonnulls({new}.raw_data, {new}.raw_compressed) = 0 THEN NULL
        WHEN num_nonnulls(t.raw_compressed, {new}.raw_compressed) > 0 THEN t.source_id = ANY(%(same)s::text[])
        ELSE t.raw_data::text = {new}.raw_data::text
    END AND t.deleted_at IS NULL
)"""

# The states that a merge replaces.
_FORMER = """former AS MATERIALIZED (
        SELECT t.*, coalesce(t.updated_at, t.state_since, t.synced_at) AS began,
            coalesce(t.deleted_at, s.updated_at, s.synced_at) AS ended
        FROM {leaf} AS t JOIN {staging} AS s ON s.source_id = t.source_id
        WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
            AND num_nonnulls(t.raw_data, t.raw_compressed) > 0 AND NOT {is_same}
    ), """.replace("{is_same}", _IS_SAME.replace("{new}", "s"))
_KEPT = """, kept AS (
        INSERT INTO {history} ({former_columns}, valid_from, valid_to)
        SELECT {former_columns}, least(began, ended), ended
        FROM former JOIN changed USING (source_id) WHERE NOT is_new
    )"""

# When a state began that its source does not date; one that was only mapped anew began when it did before.
_SINCE = """state_since = CASE WHEN {is_same} THEN coalesce(t.state_since, t.synced_at) END
""".replace("{is_same}", _IS_SAME.replace("{new}", "excluded"))

# Staged rows into the leaf: new ones, and those that differ and are not older than what is stored.
_MERGE = """
    WITH {former}changed AS (
        INSERT INTO {leaf} AS t (workspace_id, connection_id, source_system, stream, schema_version, {columns})
        SELECT %(workspace)s, %(connection)s, %(connector)s, %(stream)s, %(version)s, {columns} FROM {staging}
        {or_update}
        RETURNING xmax = 0 AS is_new, source_id
    ){kept}{noted}
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM changed
"""
_OR_UPDATE = """ON CONFLICT (workspace_id, connection_id, source_id, stream) DO UPDATE SET {assignments}
        WHERE (t.content_hash, t.schema_version, t.deleted_at)
                IS DISTINCT FROM (excluded.content_hash, excluded.schema_version, excluded.deleted_at)
            AND (t.observed_at = excluded.observed_at
                 OR excluded.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz))
"""


def _merging(*, former: str = "", kept: str = "", or_update: str = _OR_UPDATE) -> str:
    return _MERGE.replace("{former}", former).replace("{kept}", kept).replace("{or_update}", or_update)


MERGE = _merging()
# The same, and each state that is replaced into the table of former ones.
MERGE_WITH_HISTORY = _merging(former=_FORMER, kept=_KEPT)
# The same where nothing of it is stored, which spares a tenth: an error where a record is.
INSERT = _merging(or_update="")

# Stored content was seen again.
CONFIRM = """
    UPDATE {leaf} AS t SET observed_at = s.observed_at
    FROM unnest(%(ids)s::text[], %(hashes)s::bigint[], %(observed)s::timestamptz[])
        AS s (source_id, content_hash, observed_at)
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
        AND t.source_id = s.source_id AND t.content_hash = s.content_hash
        AND t.deleted_at IS NULL AND t.observed_at < s.observed_at
"""

# A row for each deleted record that has none: by that it is known which are unknown, and another transaction that
# stores one at the moment is waited for.
BURY_UNKNOWN = """
    INSERT INTO {leaf} (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, deleted_at, is_active)
    SELECT %(workspace)s, %(connection)s, %(connector)s, %(stream)s, s.source_id, s.unified_id,
        %(version)s, 0, s.observed_at, now(), s.deleted_at, false
    FROM unnest(%(ids)s::text[], %(unified_ids)s::uuid[], %(deleted)s::timestamptz[],
        %(observed)s::timestamptz[]) AS s (source_id, unified_id, deleted_at, observed_at)
    ON CONFLICT (workspace_id, connection_id, source_id, stream) DO NOTHING
    RETURNING source_id
"""

# Such rows again, unless somebody needs them: the deletion alone is remembered.
REMEMBER_UNKNOWN = """
    WITH unknown AS (
        DELETE FROM {leaf} WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(unknown)s)
        RETURNING source_id, deleted_at, observed_at
    )
    INSERT INTO unknown_deletions AS u
        (workspace_id, connector_config_id, stream, source_id, deleted_at, observed_at)
    SELECT %(workspace)s, %(connection)s, %(stream)s, source_id, deleted_at, observed_at FROM unknown
    ON CONFLICT (workspace_id, connector_config_id, stream, source_id) DO UPDATE SET observed_at = excluded.observed_at
    WHERE u.observed_at < excluded.observed_at
"""

# Tombstones of what is alive; counted.
BURY = """
    WITH changed AS (
        UPDATE {leaf} AS t SET deleted_at = s.deleted_at, is_active = false, observed_at = s.observed_at,
            synced_at = now(), {keep_since}
        FROM unnest(%(ids)s::text[], %(deleted)s::timestamptz[], %(observed)s::timestamptz[])
            AS s (source_id, deleted_at, observed_at)
        WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
            AND t.source_id = s.source_id AND t.deleted_at IS NULL
            AND s.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz)
        RETURNING t.source_id
    ){noted}
    SELECT count(*) FROM changed
"""

# Tombstones were seen again: an older state can't replace them, and the time of the deletion stays.
CONFIRM_BURIED = """
    UPDATE {leaf} AS t SET observed_at = s.observed_at
    FROM unnest(%(ids)s::text[], %(observed)s::timestamptz[]) AS s (source_id, observed_at)
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
        AND t.source_id = s.source_id AND t.deleted_at IS NOT NULL AND t.observed_at < s.observed_at
"""

# Whether deletions of records are remembered that were never stored.
HAS_UNKNOWN = """
    SELECT FROM unknown_deletions WHERE connector_config_id = %(connection)s AND stream = %(stream)s LIMIT 1
"""

# Records that were just stored, in a state from before their deletion.
BURY_LATE = """
    WITH known AS (
        DELETE FROM unknown_deletions WHERE connector_config_id = %(connection)s AND stream = %(stream)s
            AND source_id = ANY(%(ids)s)
        RETURNING source_id, deleted_at, observed_at
    )
    UPDATE {leaf} AS t SET deleted_at = k.deleted_at, is_active = false, observed_at = k.observed_at
    FROM known AS k
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
        AND t.source_id = k.source_id AND t.deleted_at IS NULL AND t.observed_at <= k.observed_at
"""

# What was read before a full refresh began is stored by its end: nothing older comes any more.
FORGET_UNKNOWN = """
    DELETE FROM unknown_deletions WHERE connector_config_id = %(connection)s AND stream = %(stream)s
        AND observed_at < %(started)s
"""

# Merges of records and batches of the invoices that name them exclude each other: neither overlooks the other.
EXCLUDE_INVOICES = "SELECT pg_advisory_xact_lock(hashtextextended('merged/' || %(connection)s::text, 0))"
EXCLUDE_MERGES = "SELECT pg_advisory_xact_lock_shared(hashtextextended('merged/' || %(connection)s::text, 0))"

# Merges that are not known yet.
NEW_MERGES = """
    SELECT s.source_id, s.merged_into FROM unnest(%(losers)s::text[], %(winners)s::text[]) AS s (source_id, merged_into)
    WHERE NOT EXISTS (
        SELECT FROM merged_records AS m WHERE m.connector_config_id = %(connection)s AND m.stream = %(stream)s
            AND m.source_id = s.source_id
            AND m.merged_into = coalesce((
                SELECT w.merged_into FROM merged_records AS w WHERE w.connector_config_id = %(connection)s
                    AND w.stream = %(stream)s AND w.source_id = s.merged_into
            ), s.merged_into)
    )
"""

# Which record another one was merged into: by the end of the chain, where that one was merged as well.
REMEMBER_MERGES = """
    INSERT INTO merged_records (workspace_id, connector_config_id, stream, source_id, merged_into)
    SELECT %(workspace)s, %(connection)s, %(stream)s, s.source_id, coalesce(w.merged_into, s.merged_into)
    FROM unnest(%(losers)s::text[], %(winners)s::text[]) AS s (source_id, merged_into)
    LEFT JOIN merged_records AS w ON w.connector_config_id = %(connection)s AND w.stream = %(stream)s
        AND w.source_id = s.merged_into
    WHERE s.source_id <> coalesce(w.merged_into, s.merged_into)
    ON CONFLICT (workspace_id, connector_config_id, stream, source_id) DO UPDATE SET merged_into = excluded.merged_into
"""

# Those that were merged into one that is merged itself now.
FOLLOW_MERGES = """
    UPDATE merged_records AS m SET merged_into = w.merged_into FROM merged_records AS w
    WHERE m.connector_config_id = %(connection)s AND m.stream = %(stream)s AND m.merged_into = ANY(%(losers)s)
        AND (w.connector_config_id, w.stream, w.source_id) = (m.connector_config_id, m.stream, m.merged_into)
        AND m.source_id <> w.merged_into
"""

# All records that were merged with these, where the data of one of them were deleted on request: it is one person.
MERGED_WITH_SUPPRESSED = """
    SELECT m.source_id, m.merged_into FROM merged_records AS m
    WHERE m.connector_config_id = %(connection)s AND m.stream = %(stream)s AND m.merged_into IN (
        SELECT merged_into FROM merged_records
        WHERE connector_config_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(losers)s)
    ) AND EXISTS (
        SELECT FROM merged_records AS o JOIN suppressed_records AS s ON s.source_id IN (o.source_id, o.merged_into)
        WHERE o.connector_config_id = %(connection)s AND o.stream = %(stream)s AND o.merged_into = m.merged_into
            AND s.connector_config_id = %(connection)s AND s.stream = %(stream)s
    )
"""

# Stored invoices go to the record that theirs was merged into: all of a connection, or (below) some of them.
MOVE_INVOICES = """
    UPDATE {invoices} AS t SET customer_id = m.merged_into, synced_at = now(), {keep_since}
    FROM merged_records AS m
    WHERE t.connection_id = %(connection)s AND t.stream = ANY(%(invoice_streams)s)
        AND m.connector_config_id = %(connection)s AND m.stream = %(stream)s AND t.customer_id = m.source_id
"""

# Whether any record of the stream that invoices name was merged.
HAS_MERGES = """
    SELECT FROM merged_records WHERE connector_config_id = %(connection)s AND stream = %(customers)s LIMIT 1
"""

MOVE_THESE_INVOICES = """
    UPDATE {leaf} AS t SET customer_id = m.merged_into
    FROM merged_records AS m
    WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = ANY(%(ids)s)
        AND m.connector_config_id = %(connection)s AND m.stream = %(customers)s AND t.customer_id = m.source_id
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

# Rejects, but for records that are stored, or known to be deleted, in a later state.
SET_ASIDE = """
    INSERT INTO rejects AS r (workspace_id, connector_config_id, stream, record_key,
        source_id, raw, error, observed_at)
    SELECT %(workspace)s, %(connection)s, %(stream)s, s.*
    FROM unnest(%(keys)s::text[], %(ids)s::text[], %(raws)s::bytea[], %(errors)s::text[],
        %(observed)s::timestamptz[]) AS s (key, source_id, raw, error, observed_at)
    WHERE (
        SELECT t.observed_at <= s.observed_at FROM {leaf} AS t
        WHERE t.connection_id = %(connection)s AND t.stream = %(stream)s AND t.source_id = s.source_id
    ) IS NOT FALSE AND NOT EXISTS (
        SELECT FROM unknown_deletions AS u
        WHERE u.connector_config_id = %(connection)s AND u.stream = %(stream)s AND u.source_id = s.source_id
            AND u.observed_at > s.observed_at
    )
    ON CONFLICT (workspace_id, connector_config_id, stream, record_key) DO UPDATE SET
        raw = excluded.raw, error = excluded.error, observed_at = excluded.observed_at,
        last_seen_at = now()
    WHERE r.observed_at <= excluded.observed_at
"""

# Ids that a full refresh met.
REMEMBER_MET = """
    INSERT INTO refresh_seen (workspace_id, connector_config_id, stream, refresh_started_at, source_ids)
    VALUES (%(workspace)s, %(connection)s, %(stream)s, %(started)s, %(met)b)
"""

# The full refresh is done.
FORGET_MET = "DELETE FROM refresh_seen WHERE connector_config_id = %(connection)s AND stream = %(stream)s"

FORGET_WAITING = (
    "DELETE FROM waiting_burials WHERE connector_config_id = %(connection)s AND stream = %(stream)s"
)

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
            synced_at = now(), {keep_since}
        WHERE connection_id = %(connection)s AND stream = %(stream)s AND deleted_at IS NULL
            AND observed_at < %(started)s AND NOT EXISTS (SELECT FROM met WHERE met.source_id = t.source_id)
            AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
        RETURNING source_id
    ){noted}
    SELECT count(*) FROM changed
"""

# Where the stream goes on from.
MOVE_CURSOR = """
    INSERT INTO cursors AS c (workspace_id, connector_config_id, stream, cursor, scope, observed_at, refreshed_at)
    VALUES (%(workspace)s, %(connection)s, %(stream)s, %(cursor)s, %(scope)s, %(observed)s, %(refreshed)s)
    ON CONFLICT (workspace_id, connector_config_id, stream) DO UPDATE SET
        cursor = excluded.cursor, scope = coalesce(excluded.scope, c.scope),
        observed_at = greatest(c.observed_at, excluded.observed_at),
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
    """The columns that are copied: the record's own, then the raw record in either form and its hash."""
    own = [column.name for column in table.columns if column.name not in (*_BATCH_COLUMNS, "raw_data")]
    return [*own, *RAW_COLUMNS, "content_hash"]


@cache
def names(table: UnifiedTable) -> dict[str, sql.Composable]:
    """What the statements have in their braces, but for ``{leaf}``."""
    columns = staged_columns(table)
    types = {column.name: column.type for column in table.columns}
    types |= {"raw_compressed": "bytea", "content_hash": "bigint"}
    changing = [name for name in (*columns, "schema_version") if name not in _KEY_COLUMNS]
    comma = sql.SQL(", ")
    assignments: list[sql.Composable] = [
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changing
    ]
    if table.entity.history:
        assignments.append(sql.SQL(_SINCE))
    return {
        "noted": sql.SQL(_NOTED if table.entity is CUSTOMERS else ""),
        "staging": sql.Identifier(f"staging_{table.entity.table}"),
        "keep_since": sql.SQL(KEEP_SINCE),
        "emptying": suppressions.emptying(table),
        "history": sql.Identifier(table.entity.history or ""),
        "former_columns": comma.join(
            map(
                sql.Identifier,
                dict.fromkeys((*_BATCH_COLUMNS, *columns, "observed_at", "synced_at", "deleted_at")),
            )
        ),
        "columns": comma.join(map(sql.Identifier, columns)),
        "definitions": comma.join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name])) for name in columns
        ),
        "options": sql.SQL(f"WITH (toast_tuple_target = {_STAGED_WHOLE}) ON COMMIT DELETE ROWS"),
        "assignments": comma.join(assignments),
    }
