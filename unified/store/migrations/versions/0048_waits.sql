ALTER TABLE connector_configs ADD COLUMN waits_until timestamptz;
COMMENT ON COLUMN connector_configs.waits_until IS 'Before then it is neither synced by schedule nor drained, as its provider said.';
GRANT SELECT (waits_until) ON connector_configs TO unified_scheduler;
