-- Routes: standing orders to push customers from one connection to another, and what was pushed.

-- What changed -----------------------------------------------------------------------------------------------------

-- Which customers each commit of a pull or a drain changed, one row per commit. Whoever acts on changes goes on after
-- (xid, id) and stops at the oldest transaction that is still open, as readers of webhook_inbox do, and so misses no
-- commit that comes late. A column on unified_customers would need an index there, that each row of a first load pays.
CREATE TABLE customer_changes (
    xid            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id             bigint GENERATED ALWAYS AS IDENTITY,
    changed_at     timestamptz NOT NULL DEFAULT now(),
    workspace_id   uuid NOT NULL,
    connection_id  uuid NOT NULL,
    source_ids     text[] NOT NULL,
    PRIMARY KEY (workspace_id, connection_id, xid, id),
    FOREIGN KEY (workspace_id, connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX customer_changes_by_age ON customer_changes USING brin (changed_at);
COMMENT ON TABLE customer_changes IS
    'Kept for a week; a reader who was away for longer reads all customers instead.';

-- Where a route looks for a record before it creates one.
CREATE INDEX unified_customers_by_email ON unified_customers (workspace_id, connection_id, lower(email))
    WHERE email IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX unified_customers_by_phone
    ON unified_customers (workspace_id, connection_id, right(regexp_replace(phone, '\D', '', 'g'), 8))
    WHERE phone IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX unified_customers_by_tax_number ON unified_customers (workspace_id, connection_id, tax_number)
    WHERE tax_number IS NOT NULL AND deleted_at IS NULL;

-- Routes -----------------------------------------------------------------------------------------------------------

CREATE TABLE routes (
    id                    uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id          uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name                  text NOT NULL CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    stream                text NOT NULL DEFAULT 'customers' CHECK (stream = 'customers'),
    source_connection_id  uuid NOT NULL,
    target_connection_id  uuid NOT NULL,
    direction             text NOT NULL CHECK (direction IN ('one_way', 'two_way')),
    fields                jsonb NOT NULL CHECK (jsonb_typeof(fields) = 'array' AND fields <> '[]'),
    filter                jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(filter) = 'array'),
    conflict_policy       text NOT NULL CHECK (conflict_policy IN ('source_wins', 'target_wins', 'newest_wins')),
    match_keys            text[] NOT NULL DEFAULT '{}',
    on_delete             text NOT NULL DEFAULT 'ignore' CHECK (on_delete IN ('ignore', 'archive')),
    on_missing            text NOT NULL DEFAULT 'unlink' CHECK (on_missing IN ('unlink', 'recreate')),
    interval_minutes      integer CHECK (interval_minutes BETWEEN 1 AND 44640),
    is_active             boolean NOT NULL DEFAULT true,
    version               integer NOT NULL DEFAULT 1 CHECK (version > 0),
    requested_at          timestamptz,
    status                text NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'running', 'error', 'success')),
    started_at            timestamptz,
    finished_at           timestamptz,
    counts                jsonb NOT NULL DEFAULT '{}',
    error_message         text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, name),
    UNIQUE (workspace_id, stream, source_connection_id, target_connection_id),
    FOREIGN KEY (workspace_id, source_connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, target_connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE,
    CONSTRAINT two_connections CHECK (source_connection_id <> target_connection_id),
    CONSTRAINT no_ping_pong CHECK (direction = 'one_way' OR on_missing = 'unlink'),
    CHECK ((status = 'error') = (error_message IS NOT NULL))
);
COMMENT ON COLUMN routes.fields IS 'Rules: [{"source": field, "target": field, "policy": conflict policy or null}].';
COMMENT ON COLUMN routes.filter IS 'Conditions, all of which a source record meets: [{"field", "operator", "value"}].';
COMMENT ON COLUMN routes.version IS 'Goes up with each change to what the route does; all records are then looked at anew.';
COMMENT ON COLUMN routes.requested_at IS 'When somebody asked for a run now, until one begins.';
COMMENT ON COLUMN routes.interval_minutes IS 'NULL: as soon as something changed.';

-- How far each side's changes are dealt with: up to a place in customer_changes, which nothing could come before at
-- `as_of`. `scanned_to` is set while all records are looked at, as at the start.
CREATE TABLE route_cursors (
    workspace_id   uuid NOT NULL,
    route_id       uuid NOT NULL,
    side           text NOT NULL CHECK (side IN ('source', 'target')),
    route_version  integer NOT NULL,
    xid            xid8 NOT NULL,
    id             bigint NOT NULL,
    as_of          timestamptz NOT NULL,
    scanned_to     text,
    PRIMARY KEY (workspace_id, route_id, side),
    FOREIGN KEY (workspace_id, route_id) REFERENCES routes (workspace_id, id) ON DELETE CASCADE
);

-- Links: two records that a route keeps alike, with the state that both sides last agreed on. A change is a
-- difference to that state, so what comes back from a push by webhook or pull is none.
CREATE TABLE pushed_records (
    workspace_id          uuid NOT NULL,
    route_id              uuid NOT NULL,
    source_connection_id  uuid NOT NULL,
    source_id             text NOT NULL,
    target_connection_id  uuid NOT NULL,
    target_id             text NOT NULL,
    state                 text NOT NULL CHECK (state IN ('linked', 'unlinked')),
    rule                  text NOT NULL,
    reason                text,
    version               bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    source_base           jsonb NOT NULL DEFAULT '{}',
    target_base           jsonb NOT NULL DEFAULT '{}',
    content_hash          bigint NOT NULL,
    linked_at             timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, route_id, source_id),
    FOREIGN KEY (workspace_id, route_id) REFERENCES routes (workspace_id, id) ON DELETE CASCADE,
    CHECK ((state = 'unlinked') = (reason IS NOT NULL))
);
CREATE UNIQUE INDEX pushed_records_by_target ON pushed_records (workspace_id, route_id, target_id);
CREATE INDEX pushed_records_of_source ON pushed_records (workspace_id, source_connection_id, source_id);
CREATE INDEX pushed_records_of_target ON pushed_records (workspace_id, target_connection_id, target_id);
COMMENT ON COLUMN pushed_records.state IS 'unlinked: one of the two is gone; nothing is pushed until a person decides.';
COMMENT ON COLUMN pushed_records.rule IS
    'Why the two are one: created, email, phone, tax_number, domain_name, custom_fields.<key>, person.';
COMMENT ON COLUMN pushed_records.version IS 'Pushes applied; makes the idempotency key of each one new.';
COMMENT ON COLUMN pushed_records.content_hash IS 'Of target_base: the routed fields as the target last answered them.';

-- What is on its way, or waits. What was applied is a link, and has no row here.
CREATE TABLE route_outbox (
    workspace_id     uuid NOT NULL,
    route_id         uuid NOT NULL,
    side             text NOT NULL CHECK (side IN ('source', 'target')),
    record_id        text NOT NULL,
    state            text NOT NULL CHECK (state IN ('sending', 'due', 'refused', 'review', 'skipped')),
    operation        text CHECK (operation IN ('create', 'update', 'delete')),
    other_id         text,
    idempotency_key  text,
    body             json,
    body_hash        bigint,
    agreed           jsonb,
    candidates       jsonb NOT NULL DEFAULT '[]',
    decision         text CHECK (decision IN ('link', 'create')),
    attempts         integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    reason           text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, route_id, side, record_id),
    FOREIGN KEY (workspace_id, route_id) REFERENCES routes (workspace_id, id) ON DELETE CASCADE,
    CHECK (state <> 'sending' OR (operation IS NOT NULL AND idempotency_key IS NOT NULL AND body_hash IS NOT NULL)),
    CHECK (state NOT IN ('refused', 'review') OR reason IS NOT NULL)
);
CREATE INDEX route_outbox_by_state ON route_outbox (workspace_id, route_id, state, side, record_id);
COMMENT ON COLUMN route_outbox.side IS 'Where the record is that changed; it is written to the other side.';
COMMENT ON COLUMN route_outbox.body IS
    'As sent: jsonb would bring its keys into another order, and under a known key that is another request.';
COMMENT ON COLUMN route_outbox.agreed IS 'What both sides will have agreed on once this is applied.';

-- Isolation --------------------------------------------------------------------------------------------------------

CALL isolate_by_workspace('customer_changes');
CALL isolate_by_workspace('routes');
CALL isolate_by_workspace('route_cursors');
CALL isolate_by_workspace('pushed_records');
CALL isolate_by_workspace('route_outbox');

GRANT SELECT, INSERT, DELETE ON customer_changes TO unified_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON routes, route_cursors, pushed_records, route_outbox TO unified_app;

-- The scheduler: which routes have something to do, never what it is; and it forgets what is old enough.
CREATE POLICY every_workspace_read ON customer_changes FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace_forget ON customer_changes FOR DELETE TO unified_scheduler
    USING (changed_at < now() - interval '7 days');
CREATE POLICY every_workspace ON routes FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace ON route_cursors FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace ON route_outbox FOR SELECT TO unified_scheduler USING (true);
GRANT DELETE, SELECT (xid, id, changed_at, workspace_id, connection_id) ON customer_changes TO unified_scheduler;
GRANT SELECT (id, workspace_id, name, stream, source_connection_id, target_connection_id, direction, interval_minutes,
              is_active, version, requested_at, status, started_at, finished_at, error_message, created_at, updated_at)
ON routes TO unified_scheduler;
GRANT SELECT (workspace_id, route_id, side, route_version, xid, id, scanned_to) ON route_cursors TO unified_scheduler;
GRANT SELECT (workspace_id, route_id, side, state) ON route_outbox TO unified_scheduler;
