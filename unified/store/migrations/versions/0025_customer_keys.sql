-- Custom fields by which routes look customers up. Row level security keeps `->>` from an index, so each value has a row
-- here, as a hash: values are of any length, and an index takes no more than 2.7 kB. Rows are written with the customers
-- and, as theirs, have no foreign key to the connection (unified/store/records/keys.py).
CREATE TABLE customer_keys (
    workspace_id   uuid NOT NULL,
    connection_id  uuid NOT NULL,
    stream         text NOT NULL,
    source_id      text NOT NULL,
    field          text NOT NULL,
    key_hash       bytea NOT NULL CHECK (length(key_hash) = 32),
    -- In this order a look-up can't take it for its index, as it would until the table is analysed.
    PRIMARY KEY (connection_id, stream, source_id, field, workspace_id)
);
CREATE INDEX customer_keys_by_hash ON customer_keys (key_hash);
COMMENT ON COLUMN customer_keys.field IS 'A key of custom_fields.';
COMMENT ON COLUMN customer_keys.key_hash IS 'SHA-256 of connection_id/stream/field/value.';
CALL isolate_by_workspace('customer_keys');
GRANT SELECT, INSERT, DELETE ON customer_keys TO unified_app;

-- Which fields have rows there: those by which a route looks for records where it writes.
CREATE VIEW customer_key_fields WITH (security_invoker = true) AS
SELECT DISTINCT r.workspace_id, e.connection_id, e.stream, substr(k.name, length('custom_fields.') + 1) AS field
FROM routes AS r
CROSS JOIN LATERAL (
    VALUES
        (r.target_connection_id, r.target_stream, true),
        (r.source_connection_id, r.source_stream, r.direction = 'two_way')
) AS e (connection_id, stream, is_written)
CROSS JOIN LATERAL unnest(r.match_keys) AS k (name)
WHERE e.is_written AND starts_with(k.name, 'custom_fields.');
GRANT SELECT ON customer_key_fields TO unified_app;

ALTER TABLE routes NO FORCE ROW LEVEL SECURITY;
ALTER TABLE unified_customers NO FORCE ROW LEVEL SECURITY;
ALTER TABLE customer_keys NO FORCE ROW LEVEL SECURITY;
INSERT INTO customer_keys (workspace_id, connection_id, stream, source_id, field, key_hash)
SELECT c.workspace_id, c.connection_id, c.stream, c.source_id, e.field,
    sha256(convert_to(concat_ws('/', c.connection_id, c.stream, e.field, e.value), 'UTF8'))
FROM customer_key_fields AS f
JOIN unified_customers AS c USING (workspace_id, connection_id, stream)
CROSS JOIN LATERAL jsonb_each_text(c.custom_fields) AS e (field, value)
WHERE e.field = f.field AND e.value IS NOT NULL;
ALTER TABLE customer_keys FORCE ROW LEVEL SECURITY;
ALTER TABLE unified_customers FORCE ROW LEVEL SECURITY;
ALTER TABLE routes FORCE ROW LEVEL SECURITY;

-- Events that were given up are counted by connection.
CREATE INDEX webhook_dead_letters_by_state ON webhook_dead_letters (workspace_id, connection_id, state);
