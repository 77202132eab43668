ALTER TABLE workspaces ADD COLUMN compresses_raw boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN workspaces.compresses_raw IS 'Whether raw records that are stored from now on are compressed.';

-- What raw records of a stream are compressed against. Never changed: what was compressed with one opens with no other.
CREATE TABLE raw_dictionaries (
    workspace_id        uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id                  bigint NOT NULL CHECK (id BETWEEN 1 AND (1::bigint << 55)),
    connector_config_id uuid NOT NULL,
    stream              text NOT NULL,
    body                bytea NOT NULL,
    made_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN raw_dictionaries.id IS 'Drawn at random, so that none comes twice, whatever is restored.';
COMMENT ON COLUMN raw_dictionaries.body IS 'A dictionary of zstd: names of fields without any value, and statistics.';
CREATE INDEX raw_dictionaries_by_stream ON raw_dictionaries (workspace_id, connector_config_id, stream, made_at);
CALL isolate_by_workspace('raw_dictionaries');
GRANT SELECT, INSERT, DELETE ON raw_dictionaries TO unified_app;

DO $$
DECLARE
    rel text;
BEGIN
    FOREACH rel IN ARRAY ARRAY[
        'unified_customers', 'unified_invoices', 'unified_events', 'unified_records',
        'customers_history', 'invoices_history', 'records_history'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN raw_compressed bytea', rel);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN raw_compressed SET STORAGE EXTERNAL', rel);
        EXECUTE format(
            'COMMENT ON COLUMN %I.raw_compressed IS %L', rel,
            'The raw record in place of raw_data: the id of its dictionary (8 bytes, 0 for none), then a frame of zstd.'
        );
    END LOOP;
END $$;

-- How a raw record is stored is no change of the record: it keeps its place.
CREATE OR REPLACE PROCEDURE keep_change_order(rel regclass)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS moved_to_end ON %s', rel);
    EXECUTE format(
        'CREATE TRIGGER moved_to_end BEFORE UPDATE OF %s ON %s FOR EACH ROW EXECUTE FUNCTION move_to_end()',
        (
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                AND attname NOT IN ('observed_at', 'changed_xid', 'raw_data', 'raw_compressed')
        ),
        rel
    );
END $$;
CALL keep_change_order('unified_customers');
CALL keep_change_order('unified_invoices');
CALL keep_change_order('unified_events');
CALL keep_change_order('unified_records');
