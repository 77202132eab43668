-- Signing out, and what the deployment as a whole has to answer for.

-- A session is a sealed cookie and is stored nowhere. One that was ended is, for as long as its cookie would open.
CREATE TABLE ended_sessions (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    session_hash  bytea NOT NULL CHECK (length(session_hash) = 32),
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, session_hash)
);
CALL isolate_by_workspace('ended_sessions');
GRANT SELECT, INSERT, DELETE ON ended_sessions TO unified_app;

-- What belongs to no workspace: master keys, tokens of the deployment, and workspaces that were removed, each with what
-- its own log said. Append-only for every role, its owner included.
CREATE TABLE deployment_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    workspace  uuid,
    actor      text NOT NULL,
    action     text NOT NULL,
    subject    text NOT NULL,
    purpose    text,
    outcome    text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
    key_id     text,
    detail     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX deployment_log_by_workspace ON deployment_log (workspace, id) WHERE workspace IS NOT NULL;
COMMENT ON COLUMN deployment_log.workspace IS 'The workspace that was removed, where the entry is about one.';

REVOKE UPDATE, DELETE, TRUNCATE ON deployment_log FROM unified_owner;
-- A workspace is removed by the role that works inside it: it adds the entries, and reads none.
GRANT INSERT ON deployment_log TO unified_app;
GRANT SELECT, INSERT ON deployment_log TO unified_scheduler;
