ALTER TABLE connector_configs ADD COLUMN since jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connector_configs.since IS 'By stream, the day (UTC) on which the records that are stored begin.';

DROP TRIGGER next_version ON connector_configs;
CREATE TRIGGER next_version
    BEFORE UPDATE OF name, settings, streams, columns, since, is_active, sync_interval_minutes, approval
    ON connector_configs FOR EACH ROW EXECUTE FUNCTION next_version();
