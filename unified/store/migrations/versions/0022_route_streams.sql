-- Several streams of one connector may land in customers, as accounts and contacts do. A route leads from one stream to
-- another. Those of earlier releases push the stream `customers`, as their links say (0014).
ALTER TABLE routes
    ADD COLUMN source_stream text NOT NULL DEFAULT 'customers' CHECK (source_stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    ADD COLUMN target_stream text NOT NULL DEFAULT 'customers' CHECK (target_stream ~ '^[a-z][a-z0-9_]{0,39}$');

-- A run of a route that is under way holds values that it read before; see 0018.
CREATE OR REPLACE FUNCTION leave_out_suppressed_push() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM routes AS r JOIN suppressed_records AS s ON s.workspace_id = r.workspace_id
            AND (s.connector_config_id, s.stream, s.source_id) IN (
                (r.source_connection_id, r.source_stream,
                    CASE NEW.side WHEN 'source' THEN NEW.record_id ELSE NEW.other_id END),
                (r.target_connection_id, r.target_stream,
                    CASE NEW.side WHEN 'target' THEN NEW.record_id ELSE NEW.other_id END)
            )
        WHERE (r.workspace_id, r.id) = (NEW.workspace_id, NEW.route_id)
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;

-- The uniqueness of two connections goes with the column.
ALTER TABLE routes DROP COLUMN stream;
ALTER TABLE routes ADD CONSTRAINT one_route_between_two_streams
    UNIQUE (workspace_id, source_connection_id, source_stream, target_connection_id, target_stream);

-- Ids of two streams may be equal, so a change is one of a stream's.
ALTER TABLE customer_changes ADD COLUMN stream text NOT NULL DEFAULT 'customers';
ALTER TABLE customer_changes ALTER COLUMN stream DROP DEFAULT;

GRANT SELECT (source_stream, target_stream) ON routes TO unified_scheduler;
GRANT SELECT (stream) ON customer_changes TO unified_scheduler;
