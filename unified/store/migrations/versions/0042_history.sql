ALTER TABLE connector_configs ADD COLUMN history text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connector_configs.history IS 'Names of the streams whose former states are kept.';

DROP TRIGGER next_version ON connector_configs;
CREATE TRIGGER next_version
    BEFORE UPDATE OF name, settings, streams, columns, since, history, is_active, sync_interval_minutes, approval
    ON connector_configs FOR EACH ROW EXECUTE FUNCTION next_version();

-- Former states of records, each with the time in which it held. What happened (events) has one state.
CREATE TABLE customers_history (LIKE unified_customers);
ALTER TABLE customers_history DROP COLUMN email_key, DROP COLUMN phone_key, DROP COLUMN company_key;
CREATE TABLE invoices_history (LIKE unified_invoices);
CREATE TABLE records_history (LIKE unified_records);

DO $$
DECLARE
    rel text;
BEGIN
    FOREACH rel IN ARRAY ARRAY['customers_history', 'invoices_history', 'records_history'] LOOP
        EXECUTE format(
            'ALTER TABLE %I DROP COLUMN changed_xid, ADD COLUMN valid_from timestamptz NOT NULL, ADD COLUMN valid_to timestamptz NOT NULL,
                ADD COLUMN state_id uuid NOT NULL DEFAULT gen_random_uuid(),
                ADD PRIMARY KEY (workspace_id, connection_id, source_id, stream, valid_from, state_id)',
            rel
        );
        EXECUTE format(
            'COMMENT ON COLUMN %I.valid_from IS %L', rel,
            'When the record came into this state: as its source says it was changed, else when it was first read so.'
        );
        EXECUTE format('COMMENT ON COLUMN %I.valid_to IS %L', rel, 'When the next state began, or it was deleted.');
        CALL isolate_by_workspace(rel::regclass);
        CALL let_readers_read(rel::regclass);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO unified_app', rel);
    END LOOP;
END $$;
