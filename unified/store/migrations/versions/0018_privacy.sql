-- Records of persons whose data were deleted on request: only their ids are kept, so that nothing brings them back.

CREATE TABLE suppressed_records (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    source_id            text NOT NULL,
    unified_id           uuid NOT NULL,
    suppressed_by        text NOT NULL,
    suppressed_at        timestamptz NOT NULL DEFAULT now(),
    emptied_at           timestamptz,
    PRIMARY KEY (workspace_id, connector_config_id, stream, source_id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX suppressed_records_to_empty ON suppressed_records (workspace_id, connector_config_id)
    WHERE emptied_at IS NULL;
COMMENT ON COLUMN suppressed_records.emptied_at IS
    'When all that was stored of it was emptied; NULL where the source asked for it and that is still to be done.';

CALL isolate_by_workspace('suppressed_records');
GRANT SELECT, INSERT, UPDATE, DELETE ON suppressed_records TO unified_app;

-- A run of a route that is under way holds values that it read before. What it writes of such a record stays empty.
CREATE FUNCTION empty_suppressed_link() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM suppressed_records WHERE workspace_id = NEW.workspace_id
            AND connector_config_id = NEW.source_connection_id
            AND (stream, source_id) = (NEW.source_stream, NEW.source_id)
    ) OR EXISTS (
        SELECT FROM suppressed_records WHERE workspace_id = NEW.workspace_id
            AND connector_config_id = NEW.target_connection_id
            AND (stream, source_id) = (NEW.target_stream, NEW.target_id)
    ) THEN
        NEW.source_base := '{}';
        NEW.target_base := '{}';
        NEW.content_hash := 0;
        NEW.state := 'unlinked';
        NEW.reason := 'its person was deleted on request';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER suppressed_stay_empty BEFORE INSERT OR UPDATE ON pushed_records
    FOR EACH ROW EXECUTE FUNCTION empty_suppressed_link();

CREATE FUNCTION leave_out_suppressed_push() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM routes AS r JOIN suppressed_records AS s ON s.workspace_id = r.workspace_id
            AND s.stream = r.stream
            AND (s.connector_config_id, s.source_id) IN (
                (r.source_connection_id, CASE NEW.side WHEN 'source' THEN NEW.record_id ELSE NEW.other_id END),
                (r.target_connection_id, CASE NEW.side WHEN 'target' THEN NEW.record_id ELSE NEW.other_id END)
            )
        WHERE (r.workspace_id, r.id) = (NEW.workspace_id, NEW.route_id)
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER suppressed_stay_out BEFORE INSERT OR UPDATE ON route_outbox
    FOR EACH ROW EXECUTE FUNCTION leave_out_suppressed_push();
