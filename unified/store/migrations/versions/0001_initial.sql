-- Workspaces, connections, credentials, sync state and the unified tables.
--
-- Three roles, made before this runs because a role belongs to the cluster and not to one database:
--   unified_owner      owns every table, runs migrations, reads no tenant's rows (FORCE RLS binds it too)
--   unified_app        does the work, inside one workspace per transaction
--   unified_scheduler  sees which connections exist in all workspaces and when they are due; no record, no secret

CREATE FUNCTION current_workspace() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('app.workspace_id', true), '')::uuid;

COMMENT ON FUNCTION current_workspace() IS
    'Workspace of this transaction, set by the application; NULL outside one, and then no row is visible.';

CREATE TABLE workspaces (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug        text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name        text NOT NULL CHECK (name <> ''),
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The catalogue of adapters, the same for every workspace. `unified migrate` keeps it equal to the code.
CREATE TABLE connectors (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,39}$'),
    display_name  text NOT NULL,
    capabilities  text[] NOT NULL CHECK (capabilities <@ ARRAY['READ', 'WRITE', 'DELETE', 'WEBHOOK', 'BATCH']),
    streams       text[] NOT NULL CHECK (streams <@ ARRAY['customers', 'invoices', 'events']),
    is_enabled    boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

-- A connection: one workspace's use of a connector. No secret is kept in settings.
CREATE TABLE connector_configs (
    id                     uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id           uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    connector              text NOT NULL REFERENCES connectors,
    name                   text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    settings               jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    is_active              boolean NOT NULL DEFAULT true,
    sync_interval_minutes  integer NOT NULL DEFAULT 60 CHECK (sync_interval_minutes BETWEEN 1 AND 44640),
    sync_status            text NOT NULL DEFAULT 'idle' CHECK (sync_status IN ('idle', 'syncing', 'error', 'success')),
    sync_started_at        timestamptz,
    last_sync_at           timestamptz,
    error_message          text,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    UNIQUE (id),
    UNIQUE (workspace_id, name),
    CHECK ((sync_status = 'error') = (error_message IS NOT NULL))
);

-- A workspace's data key, wrapped by a master key that is never stored here.
CREATE TABLE workspace_keys (
    id             uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    wrapped_key    bytea NOT NULL,
    master_key_id  text NOT NULL,
    is_primary     boolean NOT NULL DEFAULT true,
    created_at     timestamptz NOT NULL DEFAULT now(),
    rewrapped_at   timestamptz,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX workspace_keys_one_primary ON workspace_keys (workspace_id) WHERE is_primary;
CREATE INDEX workspace_keys_by_master ON workspace_keys (master_key_id);

CREATE TABLE connector_credentials (
    id                   uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    kind                 text NOT NULL CHECK (kind IN ('api_key', 'oauth_token', 'basic_auth', 'bearer_token')),
    field                text NOT NULL CHECK (field ~ '^[a-z][a-z0-9_]{0,62}$'),
    version              integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ciphertext           bytea NOT NULL,
    data_key_id          uuid NOT NULL,
    expires_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, connector_config_id, field),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, data_key_id) REFERENCES workspace_keys (workspace_id, id)
);

-- What a workspace adds to an adapter's mapping: a value of the raw record into a field of the unified one.
CREATE TABLE schema_mappings (
    id                   uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream IN ('customers', 'invoices', 'events')),
    source_path          text NOT NULL CHECK (source_path <> ''),
    target_field         text NOT NULL CHECK (target_field <> ''),
    is_active            boolean NOT NULL DEFAULT true,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, connector_config_id, stream, target_field),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);

-- Where a provider delivers events. The signing secret is a row of connector_credentials.
CREATE TABLE webhook_configs (
    id                    uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id          uuid NOT NULL,
    connector_config_id   uuid NOT NULL,
    endpoint_path         text NOT NULL UNIQUE CHECK (length(endpoint_path) >= 22),
    secret_credential_id  uuid,
    event_types           text[] NOT NULL DEFAULT '{}',
    is_active             boolean NOT NULL DEFAULT true,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, secret_credential_id) REFERENCES connector_credentials (workspace_id, id)
);

-- Where a stream's pull goes on from. `cursor` is the adapter's own and opaque here.
CREATE TABLE cursors (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream IN ('customers', 'invoices', 'events')),
    cursor               jsonb NOT NULL,
    observed_at          timestamptz NOT NULL,
    refreshed_at         timestamptz,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connector_config_id, stream),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN cursors.observed_at IS
    'Newest observation stored; the clock of the next pull never reads less, so a clock set back loses nothing.';
COMMENT ON COLUMN cursors.refreshed_at IS 'Start of the last full refresh that ran to its end.';

-- Ids met so far in a full refresh that is under way, one row per batch; what is stored but not here at its end was
-- deleted. A row per id would cost a first load as much as half of its merge.
CREATE TABLE refresh_seen (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream IN ('customers', 'invoices', 'events')),
    refresh_started_at   timestamptz NOT NULL,
    source_ids           text[] NOT NULL,
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_seen_by_connection ON refresh_seen (workspace_id, connector_config_id, stream);

-- Raw records that could not become a unified one. A record that maps later leaves this table.
CREATE TABLE rejects (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream IN ('customers', 'invoices', 'events')),
    record_key           text NOT NULL,
    source_id            text,
    raw                  bytea NOT NULL,
    error                text NOT NULL,
    observed_at          timestamptz NOT NULL,
    first_seen_at        timestamptz NOT NULL DEFAULT now(),
    last_seen_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connector_config_id, stream, record_key),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN rejects.record_key IS 'The source id, or a hash of the raw record where it has no readable id.';
COMMENT ON COLUMN rejects.raw IS 'Bytes as received: a reject need not be valid JSON.';

-- One row per pull of a stream, open while it runs.
CREATE TABLE sync_history (
    id                   uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream IN ('customers', 'invoices', 'events')),
    mode                 text NOT NULL CHECK (mode IN ('full', 'incremental', 'remap')),
    run_id               text,
    started_at           timestamptz NOT NULL DEFAULT now(),
    finished_at          timestamptz,
    is_complete          boolean NOT NULL DEFAULT false,
    records_read         bigint NOT NULL DEFAULT 0,
    inserted             bigint NOT NULL DEFAULT 0,
    updated              bigint NOT NULL DEFAULT 0,
    unchanged            bigint NOT NULL DEFAULT 0,
    rejected             bigint NOT NULL DEFAULT 0,
    deleted              bigint NOT NULL DEFAULT 0,
    requests             bigint NOT NULL DEFAULT 0,
    error_message        text,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT conservation CHECK (records_read = inserted + updated + unchanged + rejected)
);
CREATE INDEX sync_history_by_connection ON sync_history (workspace_id, connector_config_id, started_at DESC);

-- Append-only: the application may add and read, never change or remove.
CREATE TABLE audit_log (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor         text NOT NULL,
    action        text NOT NULL,
    subject       text NOT NULL,
    purpose       text,
    outcome       text NOT NULL CHECK (outcome IN ('allowed', 'denied', 'failed')),
    key_id        text,
    detail        jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (workspace_id, id)
);

-- The unified tables. Each is partitioned by source system: the asset stripe/customers owns
-- unified_customers_stripe, and one query on unified_customers reads all sources. No foreign key to the connection:
-- its check would cost each row of a first load; removing a connection deletes its rows itself.
CREATE TABLE unified_customers (
    workspace_id      uuid NOT NULL,
    connection_id     uuid NOT NULL,
    source_system     text NOT NULL,
    source_id         text NOT NULL,
    unified_id        uuid NOT NULL,
    schema_version    text NOT NULL,
    content_hash      bigint NOT NULL,
    created_at        timestamptz,
    updated_at        timestamptz,
    observed_at       timestamptz NOT NULL,
    synced_at         timestamptz NOT NULL,
    deleted_at        timestamptz,
    is_active         boolean NOT NULL,
    livemode          boolean,
    tags              text[] NOT NULL DEFAULT '{}',
    custom_fields     jsonb NOT NULL DEFAULT '{}',
    email             text,
    name              text,
    phone             text,
    company           text,
    billing_address   jsonb,
    shipping_address  jsonb,
    kind              text,
    emails            text[] NOT NULL DEFAULT '{}',
    phones            text[] NOT NULL DEFAULT '{}',
    tax_number        text,
    currency          text,
    description       text,
    raw_data          json,
    PRIMARY KEY (workspace_id, connection_id, source_id, source_system)
) PARTITION BY LIST (source_system);

CREATE TABLE unified_invoices (
    workspace_id      uuid NOT NULL,
    connection_id     uuid NOT NULL,
    source_system     text NOT NULL,
    source_id         text NOT NULL,
    unified_id        uuid NOT NULL,
    schema_version    text NOT NULL,
    content_hash      bigint NOT NULL,
    created_at        timestamptz,
    updated_at        timestamptz,
    observed_at       timestamptz NOT NULL,
    synced_at         timestamptz NOT NULL,
    deleted_at        timestamptz,
    is_active         boolean NOT NULL,
    livemode          boolean,
    tags              text[] NOT NULL DEFAULT '{}',
    custom_fields     jsonb NOT NULL DEFAULT '{}',
    customer_id       text,
    invoice_number    text,
    status            text,
    subtotal          numeric,
    tax               numeric,
    total             numeric,
    currency          text,
    issue_date        timestamptz,
    due_date          timestamptz,
    paid_date         timestamptz,
    line_items        jsonb NOT NULL DEFAULT '[]',
    kind              text NOT NULL DEFAULT 'receivable',
    remote_status     text,
    discount          numeric,
    amount_due        numeric,
    amount_paid       numeric,
    amount_remaining  numeric,
    memo              text,
    hosted_url        text,
    pdf_url           text,
    raw_data          json,
    PRIMARY KEY (workspace_id, connection_id, source_id, source_system)
) PARTITION BY LIST (source_system);

CREATE TABLE unified_events (
    workspace_id    uuid NOT NULL,
    connection_id   uuid NOT NULL,
    source_system   text NOT NULL,
    source_id       text NOT NULL,
    unified_id      uuid NOT NULL,
    schema_version  text NOT NULL,
    content_hash    bigint NOT NULL,
    created_at      timestamptz,
    updated_at      timestamptz,
    observed_at     timestamptz NOT NULL,
    synced_at       timestamptz NOT NULL,
    deleted_at      timestamptz,
    is_active       boolean NOT NULL,
    livemode        boolean,
    tags            text[] NOT NULL DEFAULT '{}',
    custom_fields   jsonb NOT NULL DEFAULT '{}',
    event_type      text NOT NULL,
    event_category  text,
    user_id         text,
    resource_type   text,
    resource_id     text,
    occurred_at     timestamptz NOT NULL,
    api_version     text,
    received_at     timestamptz,
    sequence        bigint,
    payload         json,
    raw_data        json,
    PRIMARY KEY (workspace_id, connection_id, source_id, source_system)
) PARTITION BY LIST (source_system);

-- Raw records are half of a load's cost. Stored plainly they take a third of the time that PostgreSQL's own pglz
-- takes to compress them; lz4 takes little and halves them, but not every server is built with it.
DO $$
DECLARE
    has_lz4 boolean := (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression');
    raw     record;
BEGIN
    FOR raw IN
        SELECT c.oid::regclass AS rel, a.attname AS col
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'p' AND a.atttypid = 'json'::regtype
    LOOP
        EXECUTE format(
            'ALTER TABLE %s ALTER COLUMN %I SET %s', raw.rel, raw.col,
            CASE WHEN has_lz4 THEN 'COMPRESSION lz4' ELSE 'STORAGE EXTERNAL' END
        );
    END LOOP;
END $$;

-- Lines as rows, for whoever would rather join than unpack.
CREATE VIEW unified_invoice_lines WITH (security_invoker = true) AS
SELECT
    i.workspace_id,
    i.connection_id,
    i.source_system,
    i.source_id AS invoice_id,
    i.customer_id,
    i.currency,
    l.ordinality AS line_number,
    l.item ->> 'source_id' AS line_id,
    l.item ->> 'description' AS description,
    (l.item ->> 'quantity')::numeric AS quantity,
    (l.item ->> 'unit_price')::numeric AS unit_price,
    (l.item ->> 'amount')::numeric AS amount,
    (l.item ->> 'tax')::numeric AS tax,
    (l.item ->> 'discount')::numeric AS discount,
    l.item ->> 'item_id' AS item_id,
    (l.item ->> 'period_start')::timestamptz AS period_start,
    (l.item ->> 'period_end')::timestamptz AS period_end,
    i.deleted_at
FROM unified_invoices AS i
CROSS JOIN LATERAL jsonb_array_elements(i.line_items) WITH ORDINALITY AS l (item, ordinality);

-- Isolation -----------------------------------------------------------------------------------------------------

-- One policy text for every table with a workspace. The sub-select makes PostgreSQL read the setting once per
-- statement, not once per row. FORCE: the owner is bound as well.
CREATE PROCEDURE isolate_by_workspace(rel regclass, workspace_column text DEFAULT 'workspace_id')
LANGUAGE plpgsql AS $$
DECLARE
    mine text := format('%I = (SELECT current_workspace())', workspace_column);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', rel);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', rel);
    EXECUTE format('CREATE POLICY own_workspace ON %s FOR ALL TO unified_app USING (%s) WITH CHECK (%s)', rel, mine, mine);
END $$;

CALL isolate_by_workspace('workspaces', 'id');
CALL isolate_by_workspace('connector_configs');
CALL isolate_by_workspace('workspace_keys');
CALL isolate_by_workspace('connector_credentials');
CALL isolate_by_workspace('schema_mappings');
CALL isolate_by_workspace('webhook_configs');
CALL isolate_by_workspace('cursors');
CALL isolate_by_workspace('refresh_seen');
CALL isolate_by_workspace('rejects');
CALL isolate_by_workspace('sync_history');
CALL isolate_by_workspace('audit_log');
CALL isolate_by_workspace('unified_customers');
CALL isolate_by_workspace('unified_invoices');
CALL isolate_by_workspace('unified_events');

GRANT SELECT ON connectors TO unified_app, unified_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    connector_configs, workspace_keys, connector_credentials, schema_mappings, webhook_configs, cursors,
    refresh_seen, rejects, sync_history, unified_customers, unified_invoices, unified_events
TO unified_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workspaces TO unified_app;
GRANT SELECT, INSERT ON audit_log TO unified_app;
GRANT SELECT ON unified_invoice_lines TO unified_app;

-- The scheduler asks which connections exist and which are due; it gets those columns and no others. Key rotation
-- walks over all workspaces' wrapped keys: it may replace a wrapping, and the plain keys never reach the database.
CREATE POLICY every_workspace ON workspaces FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace ON connector_configs FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_read ON workspace_keys FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_rewrap ON workspace_keys FOR UPDATE TO unified_scheduler USING (true) WITH CHECK (true);
CREATE POLICY every_workspace ON cursors FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace ON sync_history FOR SELECT TO unified_scheduler USING (true);
GRANT SELECT ON workspaces, workspace_keys TO unified_scheduler;
GRANT UPDATE (wrapped_key, master_key_id, rewrapped_at) ON workspace_keys TO unified_scheduler;
GRANT SELECT (id, workspace_id, connector, name, is_active, sync_interval_minutes, sync_status, sync_started_at,
              last_sync_at, error_message, created_at, updated_at)
ON connector_configs TO unified_scheduler;
GRANT SELECT (workspace_id, connector_config_id, stream, refreshed_at, updated_at) ON cursors TO unified_scheduler;
GRANT SELECT (workspace_id, connector_config_id, stream, started_at, finished_at, is_complete, error_message)
ON sync_history TO unified_scheduler;

-- A connector's leaves of the unified tables. Called for each connector by `unified migrate`; safe to call again.
CREATE PROCEDURE create_source_partitions(source text)
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    leaf   text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['unified_customers', 'unified_invoices', 'unified_events'] LOOP
        leaf := parent || '_' || source;
        IF to_regclass(leaf) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', leaf, parent, source);
            CALL isolate_by_workspace(leaf::regclass);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO unified_app', leaf);
        END IF;
    END LOOP;
END $$;

REVOKE EXECUTE ON PROCEDURE isolate_by_workspace(regclass, text) FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE create_source_partitions(text) FROM PUBLIC;
