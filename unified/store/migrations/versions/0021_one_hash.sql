-- content_hash is of a record's bytes again, as before 0011. A record that comes in other bytes is compared with what is
-- stored of it, so no hash of what they say is kept. None of this changes a row, so each keeps its place in the order of
-- changes.
DO $$
DECLARE
    rel regclass;
    view text;
BEGIN
    -- Views of streams show all columns; `unified migrate` makes them anew afterwards.
    FOR view IN SELECT name || '_' || unnest(record_streams) FROM connectors LOOP
        EXECUTE format('DROP VIEW IF EXISTS %I', view);
    END LOOP;
    FOREACH rel IN ARRAY ARRAY['unified_customers', 'unified_invoices', 'unified_events', 'unified_records']::regclass[]
    LOOP
        EXECUTE format('DROP TRIGGER moved_to_end ON %s', rel);
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', rel);
        EXECUTE format('UPDATE %s SET content_hash = raw_hash WHERE raw_hash IS NOT NULL', rel);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', rel);
        EXECUTE format('ALTER TABLE %s DROP COLUMN raw_hash', rel);
        EXECUTE format('CALL keep_change_order(%L)', rel);
    END LOOP;
END $$;
