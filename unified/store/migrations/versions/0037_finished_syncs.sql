-- Counts of each sync, beside its times and its error, which the scheduler sees already.
GRANT SELECT (id, mode, records_read, inserted, updated, rejected, deleted) ON sync_history TO unified_scheduler;
