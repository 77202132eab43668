-- A full refresh that would mark much of a table as deleted waits for a person's word, apart from its stream's cursor:
-- meanwhile the stream goes on with what changes.
CREATE TABLE waiting_burials (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    refresh_started_at   timestamptz NOT NULL,
    missing              bigint NOT NULL,
    gone                 bigint NOT NULL,
    living               bigint NOT NULL,
    refused_at           timestamptz NOT NULL DEFAULT now(),
    confirmed_by         text,
    confirmed_at         timestamptz,
    PRIMARY KEY (workspace_id, connector_config_id, stream),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CHECK ((confirmed_by IS NULL) = (confirmed_at IS NULL))
);
COMMENT ON COLUMN waiting_burials.missing IS 'Live records that the refresh has not met.';
COMMENT ON COLUMN waiting_burials.gone IS 'How many of them are gone at the source, at least: it stopped asking there.';
COMMENT ON COLUMN waiting_burials.living IS 'Live records that were stored.';

CALL isolate_by_workspace('waiting_burials');
GRANT SELECT, INSERT, UPDATE, DELETE ON waiting_burials TO unified_app;
