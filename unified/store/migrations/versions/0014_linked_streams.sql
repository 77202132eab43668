-- Ids of two streams may be equal, so a route's link is between records of two streams, not only of two connections.

-- Routes of earlier releases push the stream `customers`.
ALTER TABLE pushed_records
    ADD COLUMN source_stream text NOT NULL DEFAULT 'customers',
    ADD COLUMN target_stream text NOT NULL DEFAULT 'customers';

ALTER TABLE identity_records ADD COLUMN stream text NOT NULL DEFAULT 'customers';
ALTER TABLE identity_records NO FORCE ROW LEVEL SECURITY;
ALTER TABLE unified_customers NO FORCE ROW LEVEL SECURITY;
ALTER TABLE identity_queue NO FORCE ROW LEVEL SECURITY;
-- Records of other streams are looked at again, as they may have been linked by a link that is not theirs.
WITH others AS (
    UPDATE identity_records AS r SET stream = u.stream FROM unified_customers AS u
    WHERE (u.workspace_id, u.unified_id) = (r.workspace_id, r.unified_id) AND u.stream <> 'customers'
    RETURNING r.workspace_id, r.unified_id
)
INSERT INTO identity_queue (workspace_id, unified_id) SELECT workspace_id, unified_id FROM others ON CONFLICT DO NOTHING;
ALTER TABLE identity_queue FORCE ROW LEVEL SECURITY;
ALTER TABLE unified_customers FORCE ROW LEVEL SECURITY;
ALTER TABLE identity_records FORCE ROW LEVEL SECURITY;
ALTER TABLE identity_records ALTER COLUMN stream DROP DEFAULT;

CREATE OR REPLACE VIEW identity_pairs WITH (security_invoker = true) AS
SELECT workspace_id, low_id AS unified_id, high_id AS other_id, 0 AS rule, 1.0::double precision AS confidence
FROM identity_decisions WHERE verdict = 'same'
UNION ALL
SELECT workspace_id, high_id, low_id, 0, 1.0 FROM identity_decisions WHERE verdict = 'same'
UNION ALL
SELECT a.workspace_id, a.unified_id, b.unified_id, 1, 1.0
FROM identity_records AS a
JOIN pushed_records AS p
    ON (p.workspace_id, p.source_connection_id, p.source_id) = (a.workspace_id, a.connection_id, a.source_id)
        AND p.source_stream = a.stream
JOIN identity_records AS b
    ON (b.workspace_id, b.connection_id, b.source_id) = (p.workspace_id, p.target_connection_id, p.target_id)
        AND b.stream = p.target_stream
WHERE p.state = 'linked'
UNION ALL
SELECT a.workspace_id, a.unified_id, b.unified_id, 1, 1.0
FROM identity_records AS a
JOIN pushed_records AS p
    ON (p.workspace_id, p.target_connection_id, p.target_id) = (a.workspace_id, a.connection_id, a.source_id)
        AND p.target_stream = a.stream
JOIN identity_records AS b
    ON (b.workspace_id, b.connection_id, b.source_id) = (p.workspace_id, p.source_connection_id, p.source_id)
        AND b.stream = p.source_stream
WHERE p.state = 'linked'
UNION ALL
SELECT workspace_id, low_id, high_id, 15, probability FROM identity_matches
UNION ALL
SELECT workspace_id, high_id, low_id, 15, probability FROM identity_matches;
