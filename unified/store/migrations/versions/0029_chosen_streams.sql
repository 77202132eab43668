ALTER TABLE connectors ADD COLUMN further_streams text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connectors.further_streams IS 'Those of streams that a connection reads only where it names them.';

ALTER TABLE connector_configs ADD COLUMN streams text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connector_configs.streams IS 'Names of the streams that are read; empty for the connector''s usual ones.';
GRANT SELECT (streams) ON connector_configs TO unified_scheduler;

DROP TRIGGER next_version ON connector_configs;
CREATE TRIGGER next_version
    BEFORE UPDATE OF name, settings, streams, is_active, sync_interval_minutes, approval ON connector_configs
    FOR EACH ROW EXECUTE FUNCTION next_version();
