"""The SQL of identities, statement by statement.

What runs when: :mod:`unified.store.identities.records` and :mod:`unified.store.identities.scopes`.

All of it runs in one workspace, and looks up keys and records by index. ``%(most)s`` is how many records may carry
a key, by the number of its rule, ``%(look)s`` one more than the largest of these.
"""

# A key holds while no more records carry it than its rule allows, and none of them has another name.
LIVE_GROUP = """
    CROSS JOIN LATERAL (
        SELECT array_agg(c.unified_id) AS ids, count(*) AS carriers, count(DISTINCT c.name) AS names
        FROM (SELECT unified_id, name FROM identity_keys WHERE key = k.key LIMIT %(look)s) AS c
    ) AS g
    WHERE g.carriers <= (%(most)s::integer[])[(k.key & 15) + 1] AND g.names <= 1
"""

STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_identity_records (
        unified_id uuid, connection uuid, source_system text, source_id text, stream text, content_hash bigint,
        keys bigint[], name bigint
    ) ON COMMIT DELETE ROWS
"""

# Keys that are staged, and that were there before.
TOUCHED_KEYS = """
    CREATE TEMPORARY TABLE IF NOT EXISTS touched_identity_keys (key bigint) ON COMMIT DELETE ROWS;
    INSERT INTO touched_identity_keys
    SELECT unnest(keys) FROM staged_identity_records
    UNION
    SELECT unnest(r.keys) FROM staged_identity_records AS s JOIN identity_records AS r USING (unified_id)
"""

QUEUE_CARRIERS = f"""
    INSERT INTO identity_queue (workspace_id, unified_id)
    SELECT DISTINCT %(workspace)s::uuid, unnest(g.ids) FROM touched_identity_keys AS k {LIVE_GROUP}
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant

FORGET_KEYS = """
    DELETE FROM identity_keys AS k
    USING (
        SELECT r.unified_id, unnest(r.keys) AS key
        FROM staged_identity_records AS s JOIN identity_records AS r USING (unified_id)
    ) AS former
    WHERE (k.key, k.unified_id) = (former.key, former.unified_id)
"""

STORE_KEYS = """
    INSERT INTO identity_keys (workspace_id, key, unified_id, name)
    SELECT %(workspace)s, key, unified_id, CASE WHEN key & 15 = ANY(%(named)s) THEN name END
    FROM (SELECT unnest(keys) AS key, unified_id, name FROM staged_identity_records) AS s
    ORDER BY key
    ON CONFLICT DO NOTHING
"""

STORE_RECORDS = """
    INSERT INTO identity_records AS r
        (workspace_id, unified_id, connection_id, source_system, source_id, stream, content_hash, keys)
    SELECT %(workspace)s, unified_id, connection, source_system, source_id, stream, content_hash, keys
    FROM staged_identity_records
    ON CONFLICT (workspace_id, unified_id) DO UPDATE SET content_hash = excluded.content_hash, keys = excluded.keys
"""

QUEUE_STAGED = """
    INSERT INTO identity_queue (workspace_id, unified_id)
    SELECT %(workspace)s, unified_id FROM staged_identity_records
    ON CONFLICT DO NOTHING
"""

# Of records that go: all that stood with them or was linked with them.
QUEUE_LEFT_BEHIND = """
    INSERT INTO identity_queue (workspace_id, unified_id)
    SELECT %(workspace)s, left_behind.unified_id
    FROM (
        SELECT m.unified_id FROM staged_identity_records AS s
        JOIN customer_identities AS gone USING (unified_id)
        JOIN customer_identities AS m ON m.identity_id = gone.identity_id
        UNION
        SELECT p.other_id FROM staged_identity_records AS s JOIN identity_pairs AS p USING (unified_id)
    ) AS left_behind
    ON CONFLICT DO NOTHING
"""

REMOVE = """
    DELETE FROM identity_records AS r USING staged_identity_records AS s WHERE r.unified_id = s.unified_id;
    DELETE FROM identity_queue AS q USING staged_identity_records AS s WHERE q.unified_id = s.unified_id
"""

# What a list of identities is followed by: `unified.store.subscriptions.changes`.
_NOTE_GONE = """
    INSERT INTO gone_identities (workspace_id, identity_id) {gone}
    ON CONFLICT (workspace_id, identity_id) DO UPDATE SET gone_at = now(), changed_xid = pg_current_xact_id()
"""

# An identity goes with its last record. One whose golden customer alone goes is made anew by the next run.
REMOVE_MEMBERS = f"""
    WITH removed AS (
        DELETE FROM customer_identities AS m USING staged_identity_records AS s WHERE m.unified_id = s.unified_id
        RETURNING m.unified_id, m.identity_id
    ), left_by AS (
        SELECT DISTINCT identity_id, NOT EXISTS (
            SELECT FROM customer_identities AS m
            WHERE m.identity_id = r.identity_id AND m.unified_id NOT IN (SELECT unified_id FROM removed)
        ) AS is_gone
        FROM removed AS r
    ), noted AS (
        {_NOTE_GONE.format(gone="SELECT %(workspace)s, identity_id FROM left_by WHERE is_gone")}
    )
    DELETE FROM golden_customers AS g USING left_by AS l
    WHERE g.identity_id = l.identity_id AND (%(all_golden)s OR l.is_gone)
"""  # noqa: S608 - constants

# Of identities that were merged into others.
REMOVE_MERGED = f"""
    WITH noted AS ({_NOTE_GONE.format(gone="SELECT %(workspace)s::uuid, unnest(%(former)s::uuid[])")})
    DELETE FROM golden_customers WHERE identity_id = ANY(%(former)s)
"""  # noqa: S608 - constants

SCOPE = "CREATE TEMPORARY TABLE IF NOT EXISTS identity_scope (unified_id uuid) ON COMMIT DELETE ROWS"

QUEUED = """
    SELECT unified_id FROM identity_queue WHERE unified_id > %(after)s
    GROUP BY unified_id ORDER BY unified_id LIMIT %(limit)s
"""

REACH = f"""
    INSERT INTO identity_scope
    WITH RECURSIVE reached (unified_id) AS (
        SELECT unnest(%(begin)s::uuid[])
        UNION
        SELECT next.unified_id FROM reached AS r CROSS JOIN LATERAL (
            SELECT unnest(g.ids) FROM (
                SELECT unnest(o.keys) FROM identity_records AS o WHERE o.unified_id = r.unified_id
            ) AS k (key) {LIVE_GROUP}
            UNION ALL
            SELECT p.other_id FROM identity_pairs AS p WHERE p.unified_id = r.unified_id
            UNION ALL
            SELECT m.unified_id FROM customer_identities AS own
            JOIN customer_identities AS m ON m.identity_id = own.identity_id
            WHERE own.unified_id = r.unified_id
        ) AS next (unified_id)
    )
    SELECT unified_id FROM reached
"""  # noqa: S608 - a constant

MEMBERS = """
    SELECT s.unified_id, m.identity_id, g.created_at FROM identity_scope AS s
    JOIN identity_records AS r USING (unified_id)
    LEFT JOIN customer_identities AS m USING (unified_id)
    LEFT JOIN golden_customers AS g ON g.identity_id = m.identity_id
"""

GROUPS = f"""
    SELECT k.key, g.ids FROM (
        SELECT DISTINCT unnest(r.keys) FROM identity_scope AS s JOIN identity_records AS r USING (unified_id)
    ) AS k (key) {LIVE_GROUP} AND g.carriers > 1
"""  # noqa: S608 - a constant

PAIRS = """
    SELECT unified_id, other_id, rule, confidence FROM identity_scope AS s
    JOIN identity_pairs AS p USING (unified_id) WHERE unified_id < other_id
"""

APART = """
    SELECT low_id, high_id FROM identity_scope AS s
    JOIN identity_decisions AS d ON d.low_id = s.unified_id WHERE verdict = 'different'
"""
