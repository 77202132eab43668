-- Standing orders to deliver what changes in a list to a URL of the workspace's own.

CREATE TABLE webhook_subscriptions (
    workspace_id  uuid NOT NULL,
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    name          text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    list          text NOT NULL CHECK (list IN ('customers', 'invoices', 'events', 'records', 'identities')),
    filters       jsonb NOT NULL DEFAULT '{}',
    url           text NOT NULL CHECK (length(url) <= 2000),
    allow_private boolean NOT NULL DEFAULT false,
    sealed        bytea NOT NULL,
    data_key_id   uuid NOT NULL,
    is_active     boolean NOT NULL DEFAULT true,
    xid           xid8 NOT NULL,
    row_id        uuid NOT NULL,
    server        numeric NOT NULL,
    moved_at      timestamptz NOT NULL DEFAULT now(),
    delivered     bigint NOT NULL DEFAULT 0,
    failures      integer NOT NULL DEFAULT 0,
    retry_at      timestamptz,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, name),
    FOREIGN KEY (workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, data_key_id) REFERENCES workspace_keys (workspace_id, id)
);
COMMENT ON COLUMN webhook_subscriptions.filters IS 'Values by filter, as the records API takes them.';
COMMENT ON COLUMN webhook_subscriptions.sealed IS 'The secret that signs deliveries, encrypted like a credential.';
COMMENT ON COLUMN webhook_subscriptions.xid IS 'With row_id: the last change dealt with, in the order of changes.';
COMMENT ON COLUMN webhook_subscriptions.server IS 'Whose transactions xid counts.';
COMMENT ON COLUMN webhook_subscriptions.failures IS 'Batches in a row that the receiver took nothing of.';

-- Records that a receiver did not take while it took others. Their states are read anew when they are sent again.
CREATE TABLE undelivered_records (
    workspace_id     uuid NOT NULL,
    subscription_id  uuid NOT NULL,
    row_id           uuid NOT NULL,
    key              jsonb NOT NULL,
    attempts         integer NOT NULL,
    retry_at         timestamptz,
    error            text NOT NULL,
    failed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, subscription_id, row_id),
    FOREIGN KEY (workspace_id, subscription_id) REFERENCES webhook_subscriptions (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN undelivered_records.row_id IS 'The record''s unified id, or the identity''s.';
COMMENT ON COLUMN undelivered_records.key IS 'Values of the list''s key, by which it is read again.';
COMMENT ON COLUMN undelivered_records.retry_at IS 'NULL: given up, until a person has it sent again.';

CALL isolate_by_workspace('webhook_subscriptions');
CALL isolate_by_workspace('undelivered_records');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_subscriptions, undelivered_records TO unified_app;

-- Deliveries of all workspaces are made by one process: it asks which subscriptions are due, and nothing else of them.
CREATE POLICY every_workspace ON webhook_subscriptions FOR SELECT TO unified_scheduler USING (true);
GRANT SELECT (workspace_id, id, is_active, retry_at) ON webhook_subscriptions TO unified_scheduler;
