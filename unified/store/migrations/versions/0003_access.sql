-- Who may do what: members, API tokens, approval of connections, idempotency keys.
--
-- One more role, made before this runs:
--   unified_api        finds out who asks: the memberships of a subject, the workspace of a token; nothing else

-- Members ----------------------------------------------------------------------------------------------------------

ALTER TABLE workspaces
    ADD COLUMN requires_approval boolean NOT NULL DEFAULT false,
    ADD COLUMN version integer NOT NULL DEFAULT 1;
COMMENT ON COLUMN workspaces.requires_approval IS 'Whether a new connection waits for an admin before its first use.';

CREATE TABLE workspace_members (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    subject       text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    role          text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
    added_by      text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, subject)
);
CREATE INDEX workspace_members_by_subject ON workspace_members (subject);
COMMENT ON COLUMN workspace_members.subject IS 'The claim sub of the JWTs that the member comes with.';

-- Tokens -----------------------------------------------------------------------------------------------------------

-- Only the hash of a token is kept. Its secret part has 256 random bits, so nothing slower than SHA-256 is needed.
CREATE TABLE api_tokens (
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix        text NOT NULL,
    token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    PRIMARY KEY (workspace_id, id)
);
COMMENT ON COLUMN api_tokens.prefix IS 'Beginning of the token, to recognise it by; no part of its secret.';

-- Tokens of the whole deployment: they make workspaces and read metrics, and open none. No tenant owns one.
CREATE TABLE admin_tokens (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix        text NOT NULL,
    token_hash    bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    last_used_at  timestamptz,
    revoked_at    timestamptz
);

-- Answers kept for repetition --------------------------------------------------------------------------------------

-- What a POST with an Idempotency-Key was answered, encrypted by the workspace's data key: some answers show a secret
-- for the one time that it is shown. Without a status the request is under way.
CREATE TABLE idempotency_keys (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    caller        text NOT NULL,
    route         text NOT NULL,
    key           text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash  bytea NOT NULL,
    attempt_id    uuid NOT NULL,
    status        integer CHECK (status BETWEEN 200 AND 599),
    answer        bytea,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, caller, route, key),
    CHECK ((status IS NULL) = (answer IS NULL))
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (workspace_id, created_at);
COMMENT ON COLUMN idempotency_keys.request_hash IS 'Keyed by the data key: a body may hold a password short enough to guess.';
COMMENT ON COLUMN idempotency_keys.attempt_id IS 'Which process answers it; one that was given up by then stores nothing.';

-- Connections ------------------------------------------------------------------------------------------------------

ALTER TABLE connector_configs
    ADD COLUMN approval text NOT NULL DEFAULT 'approved' CHECK (approval IN ('approved', 'pending', 'rejected')),
    ADD COLUMN approval_by text,
    ADD COLUMN approval_at timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN sync_requested_at timestamptz,
    ADD COLUMN sync_requested_full boolean NOT NULL DEFAULT false,
    ADD COLUMN tested_at timestamptz,
    ADD COLUMN test_error text;
COMMENT ON COLUMN connector_configs.version IS 'Rises with each change of what people edit; the state of a sync is not among it.';
COMMENT ON COLUMN connector_configs.sync_requested_at IS 'When somebody asked for a sync now; empty once a run was asked for.';
COMMENT ON COLUMN connector_configs.test_error IS 'Why the provider refused the credential at tested_at; NULL if it did not.';

-- Whoever adds a connection, and by whatever way: where the workspace asks for approval it waits for it, also where
-- the workspace can't be seen. Other settings are another destination for its credential, so they wait again.
CREATE FUNCTION await_approval() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT requires_approval FROM workspaces WHERE id = NEW.workspace_id) IS NOT FALSE THEN
        NEW.approval := 'pending';
        NEW.approval_by := NULL;
        NEW.approval_at := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER new_ones_await_approval BEFORE INSERT ON connector_configs
    FOR EACH ROW EXECUTE FUNCTION await_approval();
CREATE TRIGGER changed_ones_await_approval BEFORE UPDATE OF settings, connector ON connector_configs
    FOR EACH ROW WHEN ((old.settings, old.connector) IS DISTINCT FROM (new.settings, new.connector))
    EXECUTE FUNCTION await_approval();

CREATE FUNCTION next_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER next_version
    BEFORE UPDATE OF name, settings, is_active, sync_interval_minutes, approval ON connector_configs
    FOR EACH ROW EXECUTE FUNCTION next_version();
CREATE TRIGGER next_version BEFORE UPDATE OF slug, name, requires_approval ON workspaces
    FOR EACH ROW EXECUTE FUNCTION next_version();

-- Isolation --------------------------------------------------------------------------------------------------------

CALL isolate_by_workspace('workspace_members');
CALL isolate_by_workspace('api_tokens');
CALL isolate_by_workspace('idempotency_keys');

GRANT SELECT, INSERT, UPDATE, DELETE ON workspace_members, idempotency_keys TO unified_app;
-- No DELETE: a token that was revoked stays on record.
GRANT SELECT, INSERT, UPDATE ON api_tokens TO unified_app;

-- Who asks is found out before there is a workspace. This role sees what that takes, and writes when a token was used.
CREATE POLICY who_asks ON workspaces FOR SELECT TO unified_api USING (true);
CREATE POLICY who_asks ON workspace_members FOR SELECT TO unified_api USING (true);
CREATE POLICY who_asks ON api_tokens FOR SELECT TO unified_api USING (true);
CREATE POLICY last_use ON api_tokens FOR UPDATE TO unified_api USING (revoked_at IS NULL) WITH CHECK (true);
GRANT SELECT (id, slug, name, requires_approval, version, created_at) ON workspaces TO unified_api;
GRANT SELECT (workspace_id, subject, role) ON workspace_members TO unified_api;
GRANT SELECT (id, workspace_id, name, token_hash, scopes, expires_at, last_used_at, revoked_at), UPDATE (last_used_at)
ON api_tokens TO unified_api;
GRANT SELECT (id, name, token_hash, scopes, expires_at, last_used_at, revoked_at), UPDATE (last_used_at)
ON admin_tokens TO unified_api;

-- The scheduler syncs nothing that nobody approved, and at once what was asked for.
GRANT SELECT (approval, version, sync_requested_at, sync_requested_full) ON connector_configs TO unified_scheduler;
