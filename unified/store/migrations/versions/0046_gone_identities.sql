-- Identities that are no more: their golden customers went, and whoever follows them is to hear of it. Ids alone.
CREATE TABLE gone_identities (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    identity_id   uuid NOT NULL,
    gone_at       timestamptz NOT NULL DEFAULT now(),
    changed_xid   xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (workspace_id, identity_id)
);
CREATE INDEX gone_identities_by_change ON gone_identities (workspace_id, changed_xid, identity_id);
CREATE INDEX gone_identities_by_age ON gone_identities USING brin (gone_at);
COMMENT ON TABLE gone_identities IS
    'Identities whose last record went or was merged into another one, kept for 30 days. One that is there again counts no more.';
COMMENT ON COLUMN gone_identities.changed_xid IS 'The transaction in which it went last: its place in the order of changes.';

CALL isolate_by_workspace('gone_identities');
GRANT SELECT, INSERT, UPDATE, DELETE ON gone_identities TO unified_app;

-- The scheduler forgets what is old enough.
CREATE POLICY every_workspace_forget ON gone_identities FOR DELETE TO unified_scheduler
    USING (gone_at < now() - interval '30 days');
CREATE POLICY every_workspace_read ON gone_identities FOR SELECT TO unified_scheduler USING (true);
GRANT DELETE, SELECT (gone_at) ON gone_identities TO unified_scheduler;
