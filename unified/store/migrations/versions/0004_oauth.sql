-- OAuth: the state of a connection's authorization, and the lease of whoever refreshes it.
--
-- The tokens are rows of connector_credentials; here is only what has to be known about them.

-- One row a connection that is authorized by OAuth. Who refreshes takes the next fence and holds the lease; a pair of
-- tokens is stored only by a fence higher than the one that stored last, so whoever wakes up late overwrites nothing
-- that is newer.
CREATE TABLE authorizations (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    grant_type           text NOT NULL CHECK (grant_type IN ('authorization_code', 'client_credentials')),
    account_id           text,
    authorized_by        text NOT NULL,
    authorized_at        timestamptz NOT NULL DEFAULT now(),
    fence                bigint NOT NULL DEFAULT 1 CHECK (fence > 0),
    stored_fence         bigint NOT NULL DEFAULT 0 CHECK (stored_fence <= fence),
    leased_until         timestamptz,
    attempted_at         timestamptz,
    refreshed_at         timestamptz,
    failures             integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    next_attempt_at      timestamptz,
    error                text,
    PRIMARY KEY (workspace_id, connector_config_id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CHECK ((failures > 0) = (error IS NOT NULL) AND (failures > 0) = (next_attempt_at IS NOT NULL))
);
COMMENT ON COLUMN authorizations.account_id IS 'Whose account the first grant opened; another one would mix two accounts'' records.';
COMMENT ON COLUMN authorizations.attempted_at IS 'Committed before the provider is asked, and emptied with its outcome: set without a lease, a refresher died.';

-- Authorizations that a person has begun and not ended: each for one use, and for ten minutes.
CREATE TABLE pending_authorizations (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    state_hash           bytea NOT NULL CHECK (length(state_hash) = 32),
    browser_hash         bytea CHECK (length(browser_hash) = 32),
    subject              text NOT NULL,
    redirect_uri         text NOT NULL,
    sealed               bytea NOT NULL,
    data_key_id          uuid NOT NULL,
    expires_at           timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, state_hash),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, data_key_id) REFERENCES workspace_keys (workspace_id, id)
);
CREATE INDEX pending_authorizations_by_connection ON pending_authorizations (workspace_id, connector_config_id);
COMMENT ON COLUMN pending_authorizations.sealed IS 'The PKCE verifier, and the connection''s own app if it has one, encrypted like a credential.';
COMMENT ON COLUMN pending_authorizations.browser_hash IS 'Of the cookie of the browser that began; NULL where its subject has to show up itself.';

ALTER TABLE connector_configs ADD COLUMN needs_reauth boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN connector_configs.needs_reauth IS 'Its grant was revoked or ran out: only a person can authorize it again.';

-- Isolation --------------------------------------------------------------------------------------------------------

CALL isolate_by_workspace('authorizations');
CALL isolate_by_workspace('pending_authorizations');

GRANT SELECT, INSERT, UPDATE, DELETE ON authorizations TO unified_app;
GRANT SELECT, INSERT, DELETE ON pending_authorizations TO unified_app;

-- The scheduler leaves alone what waits for a person.
GRANT SELECT (needs_reauth) ON connector_configs TO unified_scheduler;
