-- Which connections a run left in the middle of a sync when it died: a round syncs those of many workspaces.
GRANT SELECT (run_id) ON sync_history TO unified_scheduler;
CREATE INDEX sync_history_open ON sync_history (run_id) WHERE finished_at IS NULL;
