-- Connector documents: connectors that are text, installed while everything runs. A workspace's own are rows with its
-- id; those of the deployment, which every workspace sees, have a table of their own, as tokens do. A row is never
-- changed but for its end: an upgrade ends one and adds the next.

CREATE TABLE connector_documents (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    connector     text NOT NULL REFERENCES connectors,
    version       text NOT NULL CHECK (length(version) BETWEEN 1 AND 60),
    hash          text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
    source        text NOT NULL CHECK (octet_length(source) <= 1000000),
    exchanges     text CHECK (octet_length(exchanges) <= 5000000),
    tier          text NOT NULL CHECK (tier IN ('project', 'workspace', 'third_party', 'unsigned')),
    signer        text,
    signature     text,
    state         text NOT NULL DEFAULT 'installed' CHECK (state IN ('installed', 'replaced', 'removed')),
    installed_by  text NOT NULL,
    installed_at  timestamptz NOT NULL DEFAULT now(),
    ended_by      text,
    ended_at      timestamptz,
    PRIMARY KEY (workspace_id, id),
    CHECK ((state = 'installed') = (ended_at IS NULL)),
    CHECK ((signer IS NULL) = (signature IS NULL))
);
CREATE UNIQUE INDEX connector_documents_installed ON connector_documents (workspace_id, connector)
    WHERE state = 'installed';
CREATE INDEX connector_documents_by_connector ON connector_documents (connector);
COMMENT ON COLUMN connector_documents.source IS 'The document as it was given, YAML or JSON. It holds no secret.';
COMMENT ON COLUMN connector_documents.exchanges IS 'Its golden exchanges, JSON, as they were given.';
COMMENT ON COLUMN connector_documents.hash IS 'SHA-256 of what the document says, not of its bytes.';
CALL isolate_by_workspace('connector_documents');

CREATE TABLE deployment_documents (LIKE connector_documents INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS);
ALTER TABLE deployment_documents
    DROP COLUMN workspace_id,
    ADD PRIMARY KEY (id),
    ADD FOREIGN KEY (connector) REFERENCES connectors;
CREATE UNIQUE INDEX deployment_documents_installed ON deployment_documents (connector) WHERE state = 'installed';
CREATE INDEX deployment_documents_by_connector ON deployment_documents (connector);

GRANT SELECT, INSERT ON connector_documents TO unified_app;
GRANT UPDATE (state, ended_by, ended_at) ON connector_documents TO unified_app;
GRANT SELECT ON deployment_documents TO unified_app, unified_scheduler;

-- Each process learns which connectors there are. A document is neither a record nor a secret.
GRANT SELECT ON connector_documents TO unified_scheduler;
CREATE POLICY every_workspace ON connector_documents FOR SELECT TO unified_scheduler USING (true);

ALTER TABLE connectors ADD COLUMN is_document boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN connectors.is_document IS 'Whether only those see it for whom a document of it is installed.';
