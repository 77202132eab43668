-- Of a row that is longer than a quarter of a page, PostgreSQL compresses one column after another before it moves the
-- longest out of the row. Of an invoice that is the raw record, without which the row is short enough: all other columns
-- were compressed for nothing, or in vain, which was a fifth of an insert. Now they are compressed only where a row is
-- too long without its raw record.
DO $$
DECLARE
    rel text;
    col name;
BEGIN
    FOREACH rel IN ARRAY ARRAY['unified_customers', 'unified_invoices'] LOOP
        FOR col IN SELECT attname FROM pg_attribute
            WHERE attrelid = rel::regclass AND attstorage = 'x' AND attname <> 'raw_data' AND NOT attisdropped
        LOOP
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STORAGE MAIN', rel, col);
        END LOOP;
    END LOOP;
END $$;
