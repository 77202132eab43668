-- What was counted among a stream's records, and what was visible then: it holds for as long as no record changes.
CREATE TABLE kept_counts (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    what                 text NOT NULL,
    found                bigint NOT NULL,
    rejects              bigint NOT NULL,
    since                xid8 NOT NULL DEFAULT pg_current_xact_id(),
    as_of                pg_snapshot NOT NULL,
    PRIMARY KEY (workspace_id, connector_config_id, stream, what),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN kept_counts.what IS 'What was counted (unified/store/records/counts/kept.py).';
COMMENT ON COLUMN kept_counts.rejects IS 'Records that could not be mapped, of all streams that were looked at.';
COMMENT ON COLUMN kept_counts.since IS 'The transaction that counted; nothing has changed since.';
COMMENT ON COLUMN kept_counts.as_of IS 'What had ended when it was last known to hold.';

CALL isolate_by_workspace('kept_counts');
GRANT SELECT, INSERT, UPDATE, DELETE ON kept_counts TO unified_app;
