-- Webhooks: endpoints with rolling secrets, the inbox of received events, and what could not be applied.
--
-- One more role, made before this runs:
--   unified_ingress    finds an endpoint by its path and appends to any workspace's inbox; reads no event and no secret

-- Endpoints --------------------------------------------------------------------------------------------------------

ALTER TABLE webhook_configs
    ADD COLUMN verifier text CHECK (verifier ~ '^[a-z][a-z0-9_]{0,39}$'),
    ADD COLUMN options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object');
COMMENT ON COLUMN webhook_configs.options IS 'Settings of the verifier; no secret.';
COMMENT ON COLUMN webhook_configs.event_types IS 'Types to keep, with * at the end for a family; empty keeps all.';
CREATE INDEX webhook_configs_by_connection ON webhook_configs (workspace_id, connector_config_id);

-- An endpoint has several secrets while they are rolled, so each secret names its endpoint, not the other way round.
ALTER TABLE connector_credentials
    ADD COLUMN webhook_config_id uuid,
    ADD FOREIGN KEY (workspace_id, webhook_config_id) REFERENCES webhook_configs (workspace_id, id) ON DELETE CASCADE,
    DROP CONSTRAINT connector_credentials_kind_check,
    ADD CONSTRAINT connector_credentials_kind_check
        CHECK (kind IN ('api_key', 'oauth_token', 'basic_auth', 'bearer_token', 'webhook_secret'));
CREATE INDEX connector_credentials_by_endpoint ON connector_credentials (workspace_id, webhook_config_id)
    WHERE webhook_config_id IS NOT NULL;

-- FORCE binds the owner too, who would otherwise find no row to change.
ALTER TABLE webhook_configs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_configs NO FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_credentials NO FORCE ROW LEVEL SECURITY;
UPDATE webhook_configs AS w SET verifier = c.connector FROM connector_configs AS c
WHERE (c.workspace_id, c.id) = (w.workspace_id, w.connector_config_id);
UPDATE connector_credentials AS s SET webhook_config_id = w.id FROM webhook_configs AS w
WHERE (w.workspace_id, w.secret_credential_id) = (s.workspace_id, s.id);
ALTER TABLE webhook_configs FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_configs FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_credentials FORCE ROW LEVEL SECURITY;

ALTER TABLE webhook_configs ALTER COLUMN verifier SET NOT NULL, DROP COLUMN secret_credential_id;

-- Inbox ------------------------------------------------------------------------------------------------------------

-- Append-only; a partition a day, so that old events go by DROP and leave no dead rows. No foreign key: its check
-- would lock a row of the connection for each event.
--
-- Whoever reads goes on after (xid, id) and stops at the oldest transaction that is still open. By id alone a reader
-- would pass over a row whose transaction took its id early and commits late.
--
-- A sequence, because before PostgreSQL 17 a partitioned table can have no identity column.
CREATE SEQUENCE webhook_inbox_id;
CREATE TABLE webhook_inbox (
    xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id             bigint NOT NULL DEFAULT nextval('webhook_inbox_id'),
    received_at    timestamptz NOT NULL DEFAULT now(),
    workspace_id   uuid NOT NULL,
    connection_id  uuid NOT NULL,
    occurred_at    timestamptz,
    event_key      text NOT NULL,
    event_type     text NOT NULL,
    body           bytea NOT NULL
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE webhook_inbox_id OWNED BY webhook_inbox.id;
CREATE INDEX webhook_inbox_in_order ON webhook_inbox (workspace_id, connection_id, xid, id);
COMMENT ON COLUMN webhook_inbox.event_key IS 'The provider''s own key of the event, the same on every delivery.';
COMMENT ON COLUMN webhook_inbox.body IS 'Bytes as received.';

DO $$
BEGIN
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE webhook_inbox ALTER COLUMN body SET COMPRESSION lz4;
    END IF;
END $$;

-- Which events came already. Hashed, for a key may be longer than an index takes.
CREATE TABLE webhook_seen (
    workspace_id   uuid NOT NULL,
    connection_id  uuid NOT NULL,
    event_hash     uuid NOT NULL,
    seen_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connection_id, event_hash)
);
CREATE INDEX webhook_seen_by_age ON webhook_seen USING brin (seen_at);

-- How far each connection's inbox is applied, and whether its events wait because the connection can't be used.
CREATE TABLE inbox_cursors (
    workspace_id     uuid NOT NULL,
    connection_id    uuid NOT NULL,
    xid              xid8 NOT NULL DEFAULT '0',
    id               bigint NOT NULL DEFAULT 0,
    attempts         integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    failing_since    timestamptz,
    next_attempt_at  timestamptz,
    error            text,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connection_id),
    FOREIGN KEY (workspace_id, connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CHECK ((attempts > 0) = (error IS NOT NULL) AND (attempts > 0) = (failing_since IS NOT NULL)
           AND (attempts > 0) = (next_attempt_at IS NOT NULL))
);

-- Events that could not be applied: tried again until they are given up, and kept either way.
CREATE TABLE webhook_dead_letters (
    workspace_id     uuid NOT NULL,
    connection_id    uuid NOT NULL,
    event_hash       uuid NOT NULL,
    event_key        text NOT NULL,
    event_type       text NOT NULL,
    occurred_at      timestamptz,
    received_at      timestamptz NOT NULL,
    body             bytea NOT NULL,
    state            text NOT NULL CHECK (state IN ('waiting', 'dead', 'replayed')),
    attempts         integer NOT NULL CHECK (attempts >= 0),
    error            text NOT NULL,
    first_failed_at  timestamptz NOT NULL,
    next_attempt_at  timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connection_id, event_hash),
    FOREIGN KEY (workspace_id, connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CHECK ((state = 'waiting') = (next_attempt_at IS NOT NULL))
);
CREATE INDEX webhook_dead_letters_due ON webhook_dead_letters (workspace_id, connection_id, next_attempt_at)
    WHERE state = 'waiting';

-- Isolation --------------------------------------------------------------------------------------------------------

CALL isolate_by_workspace('webhook_inbox');
CALL isolate_by_workspace('webhook_seen');
CALL isolate_by_workspace('inbox_cursors');
CALL isolate_by_workspace('webhook_dead_letters');

-- No UPDATE on what is append-only. The app inserts to replay, and deletes with a connection.
GRANT SELECT, INSERT, DELETE ON webhook_inbox, webhook_seen TO unified_app;
GRANT USAGE ON SEQUENCE webhook_inbox_id TO unified_app, unified_ingress;
GRANT SELECT, INSERT, UPDATE, DELETE ON inbox_cursors, webhook_dead_letters TO unified_app;

-- The ingress: which endpoint a path leads to, and one more event for whichever workspace. To recognise an event that
-- came before it may read keys' hashes; bodies it can't read back.
CREATE POLICY active_endpoints ON webhook_configs FOR SELECT TO unified_ingress USING (is_active);
CREATE POLICY of_endpoints ON connector_configs FOR SELECT TO unified_ingress USING (true);
CREATE POLICY received ON webhook_inbox FOR INSERT TO unified_ingress WITH CHECK (true);
CREATE POLICY received ON webhook_seen FOR INSERT TO unified_ingress WITH CHECK (true);
CREATE POLICY received_before ON webhook_seen FOR SELECT TO unified_ingress USING (true);
GRANT SELECT (id, workspace_id, connector_config_id, endpoint_path, verifier, options, event_types, is_active, updated_at)
ON webhook_configs TO unified_ingress;
GRANT SELECT (id, workspace_id, connector) ON connector_configs TO unified_ingress;
GRANT INSERT ON webhook_inbox TO unified_ingress;
GRANT INSERT, SELECT (workspace_id, connection_id, event_hash) ON webhook_seen TO unified_ingress;

-- The scheduler: what waits since when, never what it is; and it forgets what is old enough to be forgotten. No
-- provider delivers an event again after 3 days (Stripe's span is the longest), so no key is forgotten before a week.
CREATE POLICY every_workspace_read ON webhook_inbox FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_forget ON webhook_inbox FOR DELETE TO unified_scheduler
    USING (received_at < now() - interval '7 days');
CREATE POLICY every_workspace ON inbox_cursors FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_read ON webhook_seen FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_forget ON webhook_seen FOR DELETE TO unified_scheduler
    USING (seen_at < now() - interval '7 days');
CREATE POLICY every_workspace_read ON webhook_dead_letters FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_forget ON webhook_dead_letters FOR DELETE TO unified_scheduler
    USING (state <> 'waiting' AND updated_at < now() - interval '30 days');
GRANT DELETE, SELECT (xid, id, received_at, workspace_id, connection_id) ON webhook_inbox TO unified_scheduler;
GRANT SELECT ON inbox_cursors TO unified_scheduler;
GRANT DELETE, SELECT (workspace_id, connection_id, seen_at) ON webhook_seen TO unified_scheduler;
GRANT DELETE, SELECT (workspace_id, connection_id, state, attempts, first_failed_at, next_attempt_at, updated_at)
ON webhook_dead_letters TO unified_scheduler;

-- Partitions -------------------------------------------------------------------------------------------------------

-- Where an event goes for which no day's partition was made in time: an insert never fails for want of one.
CREATE TABLE webhook_inbox_other PARTITION OF webhook_inbox DEFAULT;
CALL isolate_by_workspace('webhook_inbox_other');
GRANT SELECT, INSERT, DELETE ON webhook_inbox_other TO unified_app;

-- One day's partition (in UTC); safe to call again. Made apart and attached, which blocks nobody who writes to another
-- day. Where events of that day are in webhook_inbox_other already, they stay there and so do those that follow.
CREATE PROCEDURE create_inbox_partition(day date)
LANGUAGE plpgsql AS $$
DECLARE
    leaf text := 'webhook_inbox_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(leaf) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE webhook_inbox INCLUDING ALL)', leaf);
        CALL isolate_by_workspace(leaf::regclass);
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO unified_app', leaf);
        EXECUTE format('ALTER TABLE webhook_inbox ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', leaf,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
EXCEPTION WHEN check_violation THEN
    RAISE NOTICE 'webhook_inbox_other keeps the events of %', day;
END $$;

REVOKE EXECUTE ON PROCEDURE create_inbox_partition(date) FROM PUBLIC;

DO $$
BEGIN
    FOR ahead IN 0..3 LOOP
        CALL create_inbox_partition((now() AT TIME ZONE 'UTC')::date + ahead);
    END LOOP;
END $$;
