-- Drafts of connector documents. One need not be a document yet: it is kept as it was typed. A save names the revision
-- that it changes, so that two people do not overwrite each other.

CREATE TABLE connector_drafts (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name          text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    source        text NOT NULL CHECK (octet_length(source) <= 1000000),
    exchanges     text CHECK (octet_length(exchanges) <= 5000000),
    revision      integer NOT NULL DEFAULT 1 CHECK (revision > 0),
    saved_by      text NOT NULL,
    saved_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, name)
);
COMMENT ON COLUMN connector_drafts.source IS 'As it was typed. Secrets are no part of a document.';
COMMENT ON COLUMN connector_drafts.exchanges IS 'Recorded exchanges, JSON, as they were given.';
CALL isolate_by_workspace('connector_drafts');
GRANT SELECT, INSERT, UPDATE, DELETE ON connector_drafts TO unified_app;
