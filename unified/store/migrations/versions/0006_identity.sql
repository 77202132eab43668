-- Identities: which customers of several sources are one, and why.
--
-- The large tables have no foreign key: its check would cost each row of a first run. Removing a connection takes its
-- records out by itself (store/identity_records.py).

-- What the resolver knows of each live customer -------------------------------------------------------------------------

-- A key is what two records have in common if they are one: a normalised address, number or name. Its last four bits
-- are the number of its rule (sync/identities/rules.py), the others a hash of its value.
CREATE TABLE identity_records (
    workspace_id   uuid NOT NULL,
    unified_id     uuid NOT NULL,
    connection_id  uuid NOT NULL,
    source_system  text NOT NULL,
    source_id      text NOT NULL,
    content_hash   bigint NOT NULL,
    keys           bigint[] NOT NULL,
    PRIMARY KEY (workspace_id, unified_id)
);
CREATE INDEX identity_records_by_source ON identity_records (workspace_id, connection_id, source_id);
COMMENT ON COLUMN identity_records.content_hash IS 'Of the state of the customer that the keys were taken from.';

CREATE TABLE identity_keys (
    workspace_id  uuid NOT NULL,
    key           bigint NOT NULL,
    unified_id    uuid NOT NULL,
    name          bigint,
    PRIMARY KEY (workspace_id, key, unified_id)
);
COMMENT ON COLUMN identity_keys.name IS
    'Hash of the record''s name, where the key holds only among records that do not differ in it.';

-- Records that are to be looked at again. The transaction that added one is kept, so that who works them off takes away
-- only what was there when it began.
CREATE TABLE identity_queue (
    workspace_id  uuid NOT NULL,
    unified_id    uuid NOT NULL,
    xid           xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (workspace_id, unified_id, xid)
);

-- Settings of a workspace, and how far the feed of changes is read: all that the snapshot `position` saw is in.
CREATE TABLE identity_state (
    workspace_id  uuid PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    settings      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    made_with     text,
    position      pg_snapshot,
    read_at       timestamptz,
    resolved_at   timestamptz
);
COMMENT ON COLUMN identity_state.made_with IS 'Version of the rules, and settings, that all keys were made with.';

-- What links records besides keys -----------------------------------------------------------------------------------

-- What people decided, a row for each pair of records; a later decision on a pair replaces the former one.
CREATE TABLE identity_decisions (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    low_id        uuid NOT NULL,
    high_id       uuid NOT NULL,
    verdict       text NOT NULL CHECK (verdict IN ('same', 'different')),
    decided_by    text NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now(),
    note          text,
    PRIMARY KEY (workspace_id, low_id, high_id),
    CHECK (low_id < high_id)
);
CREATE INDEX identity_decisions_by_high ON identity_decisions (workspace_id, high_id);

-- Pairs that a statistical model holds to be one.
CREATE TABLE identity_matches (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    low_id        uuid NOT NULL,
    high_id       uuid NOT NULL,
    probability   double precision NOT NULL CHECK (probability > 0 AND probability <= 1),
    PRIMARY KEY (workspace_id, low_id, high_id),
    CHECK (low_id < high_id)
);
CREATE INDEX identity_matches_by_high ON identity_matches (workspace_id, high_id);

-- All pairs that are linked whatever their keys say, each from both sides. Their rules' numbers are those of keys' rules.
CREATE VIEW identity_pairs WITH (security_invoker = true) AS
SELECT workspace_id, low_id AS unified_id, high_id AS other_id, 0 AS rule, 1.0::double precision AS confidence
FROM identity_decisions WHERE verdict = 'same'
UNION ALL
SELECT workspace_id, high_id, low_id, 0, 1.0 FROM identity_decisions WHERE verdict = 'same'
UNION ALL
SELECT a.workspace_id, a.unified_id, b.unified_id, 1, 1.0
FROM identity_records AS a
JOIN pushed_records AS p
    ON (p.workspace_id, p.source_connection_id, p.source_id) = (a.workspace_id, a.connection_id, a.source_id)
JOIN identity_records AS b
    ON (b.workspace_id, b.connection_id, b.source_id) = (p.workspace_id, p.target_connection_id, p.target_id)
WHERE p.state = 'linked'
UNION ALL
SELECT a.workspace_id, a.unified_id, b.unified_id, 1, 1.0
FROM identity_records AS a
JOIN pushed_records AS p
    ON (p.workspace_id, p.target_connection_id, p.target_id) = (a.workspace_id, a.connection_id, a.source_id)
JOIN identity_records AS b
    ON (b.workspace_id, b.connection_id, b.source_id) = (p.workspace_id, p.source_connection_id, p.source_id)
WHERE p.state = 'linked'
UNION ALL
SELECT workspace_id, low_id, high_id, 15, probability FROM identity_matches
UNION ALL
SELECT workspace_id, high_id, low_id, 15, probability FROM identity_matches;

-- A link that a route makes or gives up changes no customer, so it says by itself which records to look at again. Not
-- where it goes by a cascade, which runs as the owner: a removed route has its own trigger, and with a connection or a
-- workspace the records go as well.
CREATE FUNCTION queue_linked_records() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    link pushed_records := coalesce(NEW, OLD);
BEGIN
    INSERT INTO identity_queue (workspace_id, unified_id)
    SELECT workspace_id, unified_id FROM identity_records
    WHERE workspace_id = link.workspace_id
        AND (connection_id, source_id) IN
            ((link.source_connection_id, link.source_id), (link.target_connection_id, link.target_id))
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION queue_routed_records() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO identity_queue (workspace_id, unified_id)
    SELECT r.workspace_id, r.unified_id
    FROM pushed_records AS p
    CROSS JOIN LATERAL (
        VALUES (p.source_connection_id, p.source_id), (p.target_connection_id, p.target_id)
    ) AS side (connection_id, source_id)
    JOIN identity_records AS r
        ON (r.workspace_id, r.connection_id, r.source_id) = (p.workspace_id, side.connection_id, side.source_id)
    WHERE (p.workspace_id, p.route_id) = (OLD.workspace_id, OLD.id)
    ON CONFLICT DO NOTHING;
    RETURN OLD;
END $$;

REVOKE EXECUTE ON FUNCTION queue_linked_records(), queue_routed_records() FROM PUBLIC;

CREATE TRIGGER queue_linked AFTER INSERT OR DELETE ON pushed_records
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION queue_linked_records();
CREATE TRIGGER queue_relinked AFTER UPDATE ON pushed_records
    FOR EACH ROW WHEN ((OLD.state, OLD.target_id) IS DISTINCT FROM (NEW.state, NEW.target_id))
    EXECUTE FUNCTION queue_linked_records();
CREATE TRIGGER queue_routed BEFORE DELETE ON routes
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION queue_routed_records();

-- What comes of it --------------------------------------------------------------------------------------------------

-- Each live customer, the identity that it belongs to, and the link that made it so.
CREATE TABLE customer_identities (
    workspace_id   uuid NOT NULL,
    unified_id     uuid NOT NULL,
    identity_id    uuid NOT NULL,
    connection_id  uuid NOT NULL,
    source_system  text NOT NULL,
    source_id      text NOT NULL,
    rule           text,
    confidence     double precision NOT NULL CHECK (confidence > 0 AND confidence <= 1),
    linked_to      uuid,
    refused_group  uuid,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, unified_id),
    CHECK ((rule IS NULL) = (linked_to IS NULL))
);
CREATE INDEX customer_identities_by_identity ON customer_identities (workspace_id, identity_id);
CREATE INDEX customer_identities_refused ON customer_identities (workspace_id, refused_group)
    WHERE refused_group IS NOT NULL;
COMMENT ON COLUMN customer_identities.rule IS 'Why it is one with the record linked_to; NULL for the first of each.';
COMMENT ON COLUMN customer_identities.refused_group IS
    'Set where more records hang together than can be one customer: such a group is left apart, for a person to look at.';

-- One row for each identity: the best value of each field, and where it is from.
CREATE TABLE golden_customers (
    workspace_id      uuid NOT NULL,
    identity_id       uuid NOT NULL,
    records           integer NOT NULL CHECK (records > 0),
    sources           text[] NOT NULL,
    email             text,
    name              text,
    phone             text,
    company           text,
    kind              text,
    billing_address   jsonb,
    shipping_address  jsonb,
    emails            text[] NOT NULL,
    phones            text[] NOT NULL,
    tax_number        text,
    currency          text,
    provenance        jsonb NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, identity_id)
);
COMMENT ON COLUMN golden_customers.provenance IS
    'For each field: {"source", "record", "why": only | agreement | source_priority | recency | completeness}.';

-- Former ids of identities that were merged.
CREATE TABLE identity_aliases (
    workspace_id  uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    alias_id      uuid NOT NULL,
    identity_id   uuid NOT NULL,
    since         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, alias_id)
);
CREATE INDEX identity_aliases_by_identity ON identity_aliases (workspace_id, identity_id);

-- Isolation ---------------------------------------------------------------------------------------------------------

CALL isolate_by_workspace('identity_records');
CALL isolate_by_workspace('identity_keys');
CALL isolate_by_workspace('identity_queue');
CALL isolate_by_workspace('identity_state');
CALL isolate_by_workspace('identity_decisions');
CALL isolate_by_workspace('identity_matches');
CALL isolate_by_workspace('customer_identities');
CALL isolate_by_workspace('golden_customers');
CALL isolate_by_workspace('identity_aliases');

GRANT SELECT, INSERT, UPDATE, DELETE ON
    identity_records, identity_keys, identity_state, identity_decisions, identity_matches, customer_identities,
    golden_customers, identity_aliases
TO unified_app;
GRANT SELECT, INSERT, DELETE ON identity_queue TO unified_app;
GRANT SELECT ON identity_pairs TO unified_app;

-- The scheduler: in which workspaces there is something to resolve, never what it is.
CREATE POLICY every_workspace ON identity_state FOR SELECT TO unified_scheduler USING (true);
CREATE POLICY every_workspace ON identity_queue FOR SELECT TO unified_scheduler USING (true);
GRANT SELECT (workspace_id, position, read_at, resolved_at) ON identity_state TO unified_scheduler;
GRANT SELECT (workspace_id, xid) ON identity_queue TO unified_scheduler;
