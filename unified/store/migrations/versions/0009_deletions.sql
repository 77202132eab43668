-- Deletions: which records were deleted that were never stored, which record another one was merged into, and a full
-- refresh that waits for a person's word before it takes much for deleted.

-- A record that is known to be deleted and was never stored has no row. It is remembered, so that an older state of it
-- that comes late does not count as alive.
CREATE TABLE unknown_deletions (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    source_id            text NOT NULL,
    deleted_at           timestamptz NOT NULL,
    observed_at          timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, connector_config_id, stream, source_id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);

-- A customer's invoices may name a record that it was merged into another of: they go to that one.
CREATE TABLE merged_records (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    source_id            text NOT NULL,
    merged_into          text NOT NULL CHECK (merged_into <> source_id),
    PRIMARY KEY (workspace_id, connector_config_id, stream, source_id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX merged_records_by_winner ON merged_records (workspace_id, connector_config_id, stream, merged_into);
COMMENT ON COLUMN merged_records.merged_into IS 'The record that holds it now; never one that was merged away itself.';

CALL isolate_by_workspace('unknown_deletions');
CALL isolate_by_workspace('merged_records');
GRANT SELECT, INSERT, UPDATE, DELETE ON unknown_deletions, merged_records TO unified_app;
