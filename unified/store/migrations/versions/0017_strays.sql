-- Strays: deliveries hold events of accounts that no connection of the workspace reads. They are counted, not stored.

CREATE TABLE webhook_strays (
    workspace_id   uuid NOT NULL,
    connection_id  uuid NOT NULL,
    account        text NOT NULL,
    mode           text NOT NULL CHECK (mode IN ('live', 'test', '')),
    events         bigint NOT NULL,
    first_at       timestamptz NOT NULL DEFAULT now(),
    last_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connection_id, account, mode),
    FOREIGN KEY (workspace_id, connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN webhook_strays.connection_id IS 'At whose endpoint they came in.';
COMMENT ON COLUMN webhook_strays.account IS 'The account that they name; empty where they name none.';

CALL isolate_by_workspace('webhook_strays');
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_strays TO unified_app;

-- The ingress sends each event to the connection of its account, and counts the others.
CREATE POLICY counted ON webhook_strays FOR INSERT TO unified_ingress WITH CHECK (true);
CREATE POLICY counted_before ON webhook_strays FOR SELECT TO unified_ingress USING (true);
CREATE POLICY counted_again ON webhook_strays FOR UPDATE TO unified_ingress USING (true) WITH CHECK (true);
GRANT INSERT, SELECT (workspace_id, connection_id, account, mode, events), UPDATE (events, last_at)
ON webhook_strays TO unified_ingress;
GRANT SELECT (account_id, account_livemode, account_doubts, account_settled) ON connector_configs TO unified_ingress;
