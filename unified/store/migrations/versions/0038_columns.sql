ALTER TABLE connector_configs
    ADD COLUMN columns jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN stored_columns jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connector_configs.columns IS 'By stream, which fields are left out or hashed before anything is stored.';
COMMENT ON COLUMN connector_configs.stored_columns IS 'The same, as all that is stored obeys it; behind columns until that is done.';
GRANT SELECT (columns) ON connector_configs TO unified_ingress;

DROP TRIGGER next_version ON connector_configs;
CREATE TRIGGER next_version
    BEFORE UPDATE OF name, settings, streams, columns, is_active, sync_interval_minutes, approval ON connector_configs
    FOR EACH ROW EXECUTE FUNCTION next_version();

-- What is hashed in a workspace is hashed by one key, so that equal values join.
CREATE TABLE column_keys (
    workspace_id  uuid PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    sealed        bytea NOT NULL,
    data_key_id   uuid NOT NULL,
    FOREIGN KEY (workspace_id, data_key_id) REFERENCES workspace_keys (workspace_id, id)
);
COMMENT ON COLUMN column_keys.sealed IS 'The key, encrypted like a credential.';
CALL isolate_by_workspace('column_keys');
GRANT SELECT, INSERT, UPDATE, DELETE ON column_keys TO unified_app;

-- Received events obey other rules as well.
GRANT UPDATE (body) ON webhook_inbox TO unified_app;
