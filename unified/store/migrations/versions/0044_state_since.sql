-- A column without a default: no row is written anew. Null says that updated_at or synced_at is the time.
ALTER TABLE unified_customers ADD COLUMN state_since timestamptz;
ALTER TABLE unified_invoices ADD COLUMN state_since timestamptz;
ALTER TABLE unified_records ADD COLUMN state_since timestamptz;
COMMENT ON COLUMN unified_customers.state_since IS 'When the record came into this state, where neither updated_at nor synced_at says so.';
COMMENT ON COLUMN unified_invoices.state_since IS 'When the record came into this state, where neither updated_at nor synced_at says so.';
COMMENT ON COLUMN unified_records.state_since IS 'When the record came into this state, where neither updated_at nor synced_at says so.';
CALL keep_change_order('unified_customers');
CALL keep_change_order('unified_invoices');
CALL keep_change_order('unified_records');
