-- The order in which rows changed, for readers that ask again and again what is new: the transaction that changed a row
-- last (unified/store/positions.py), and the row's own id among those of one transaction.

-- Rows of before come first: a constant default is kept in the catalogue, and no row is written anew.
ALTER TABLE unified_customers ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE unified_customers ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
ALTER TABLE unified_invoices ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE unified_invoices ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
ALTER TABLE unified_events ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE unified_events ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
ALTER TABLE unified_records ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE unified_records ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
ALTER TABLE golden_customers ADD COLUMN changed_xid xid8 NOT NULL DEFAULT '0';
ALTER TABLE golden_customers ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
COMMENT ON COLUMN unified_customers.changed_xid IS 'The transaction that changed the row last.';
COMMENT ON COLUMN unified_invoices.changed_xid IS 'The transaction that changed the row last.';
COMMENT ON COLUMN unified_events.changed_xid IS 'The transaction that changed the row last.';
COMMENT ON COLUMN unified_records.changed_xid IS 'The transaction that changed the row last.';
COMMENT ON COLUMN golden_customers.changed_xid IS 'The transaction that changed the row last.';

CREATE FUNCTION move_to_end() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;

-- A trigger, so that no statement that changes a row can forget it. Merges set observed_at alone in rows that were only
-- seen again: these keep their place, and cost nothing. To be called again when the table gets a column.
CREATE PROCEDURE keep_change_order(rel regclass)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TRIGGER IF EXISTS moved_to_end ON %s', rel);
    EXECUTE format(
        'CREATE TRIGGER moved_to_end BEFORE UPDATE OF %s ON %s FOR EACH ROW EXECUTE FUNCTION move_to_end()',
        (
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                AND attname NOT IN ('observed_at', 'changed_xid')
        ),
        rel
    );
END $$;
CALL keep_change_order('unified_customers');
CALL keep_change_order('unified_invoices');
CALL keep_change_order('unified_events');
CALL keep_change_order('unified_records');
CALL keep_change_order('golden_customers');

CREATE INDEX unified_customers_by_change ON unified_customers (workspace_id, changed_xid, unified_id);
CREATE INDEX unified_invoices_by_change ON unified_invoices (workspace_id, changed_xid, unified_id);
CREATE INDEX unified_events_by_change ON unified_events (workspace_id, changed_xid, unified_id);
CREATE INDEX unified_records_by_change ON unified_records (workspace_id, changed_xid, unified_id);
CREATE INDEX golden_customers_by_change ON golden_customers (workspace_id, changed_xid, identity_id);

-- From a time to a place in that order: whatever a sync, or anything after it began, changed comes from here on.
ALTER TABLE sync_history ADD COLUMN changes_from xid8 NOT NULL DEFAULT '0';
COMMENT ON COLUMN sync_history.changes_from IS 'No transaction that began after started_at comes before this one.';
CREATE INDEX sync_history_by_time ON sync_history (workspace_id, started_at);

-- A customer's invoices.
CREATE INDEX unified_invoices_by_customer ON unified_invoices (workspace_id, connection_id, customer_id)
    WHERE customer_id IS NOT NULL;
