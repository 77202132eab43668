-- The hash of a raw record's bytes, which is quick to take, beside content_hash, which from now on is of what they say.
-- Rows of before have none: their content_hash was of the bytes, and is looked up in its place.
ALTER TABLE unified_customers ADD COLUMN raw_hash bigint;
ALTER TABLE unified_invoices ADD COLUMN raw_hash bigint;
ALTER TABLE unified_events ADD COLUMN raw_hash bigint;
ALTER TABLE unified_records ADD COLUMN raw_hash bigint;

-- PostgreSQL keeps the escape of U+0000 in a column of type json, and fails when anything reads it. It is written as
-- unified/store/records/raw_json.py writes it. After an odd number of backslashes it is no escape but text.
DO $$
DECLARE
    rel regclass;
    nul CONSTANT text := '(?<!\\)((?:\\\\)*)\\u0000';
BEGIN
    FOREACH rel IN ARRAY ARRAY['unified_customers', 'unified_invoices', 'unified_events', 'unified_records']::regclass[]
    LOOP
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', rel);
        EXECUTE format(
            'UPDATE %s SET raw_data = regexp_replace(raw_data::text, %L, %L, ''g'')::json'
            ' WHERE strpos(raw_data::text, ''\u0000'') > 0',
            rel, nul, '\1\\uFfFd'
        );
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', rel);
    END LOOP;
END $$;
