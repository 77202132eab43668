-- A stream is not its table: several streams of a connector may land in one table, and any stream that is neither
-- customers nor invoices nor events lands in unified_records.

-- Streams have the names that their connectors give them.
ALTER TABLE connectors
    DROP CONSTRAINT connectors_streams_check,
    ADD COLUMN record_streams text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN connectors.record_streams IS
    'Streams that land in unified_records; `unified migrate` keeps a view for each, <connector>_<stream>.';

ALTER TABLE schema_mappings
    DROP CONSTRAINT schema_mappings_stream_check, ADD CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$');
ALTER TABLE cursors
    DROP CONSTRAINT cursors_stream_check, ADD CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$');
ALTER TABLE refresh_seen
    DROP CONSTRAINT refresh_seen_stream_check, ADD CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$');
ALTER TABLE rejects
    DROP CONSTRAINT rejects_stream_check, ADD CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$');
ALTER TABLE sync_history
    DROP CONSTRAINT sync_history_stream_check, ADD CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$');

-- A row knows its stream: a full refresh of one buries no row of another, and ids of two streams may be equal. Rows of
-- earlier releases came from the stream of their table's name.
ALTER TABLE unified_customers ADD COLUMN stream text NOT NULL DEFAULT 'customers';
ALTER TABLE unified_customers ALTER COLUMN stream DROP DEFAULT;
ALTER TABLE unified_invoices ADD COLUMN stream text NOT NULL DEFAULT 'invoices';
ALTER TABLE unified_invoices ALTER COLUMN stream DROP DEFAULT;
ALTER TABLE unified_events ADD COLUMN stream text NOT NULL DEFAULT 'events';
ALTER TABLE unified_events ALTER COLUMN stream DROP DEFAULT;

-- The key is each leaf's own, so the stream takes the place of the source system, which is the same throughout a leaf:
-- a fifth column would cost a merge a sixth of its time. It comes last: ids are looked up without it as well.
ALTER TABLE unified_customers DROP CONSTRAINT unified_customers_pkey;
ALTER TABLE unified_invoices DROP CONSTRAINT unified_invoices_pkey;
ALTER TABLE unified_events DROP CONSTRAINT unified_events_pkey;
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN
        SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent IN
            ('unified_customers'::regclass, 'unified_invoices'::regclass, 'unified_events'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (workspace_id, connection_id, source_id, stream)', leaf);
    END LOOP;
END $$;

-- Any other record.
CREATE TABLE unified_records (
    workspace_id    uuid NOT NULL,
    connection_id   uuid NOT NULL,
    source_system   text NOT NULL,
    stream          text NOT NULL,
    source_id       text NOT NULL,
    unified_id      uuid NOT NULL,
    schema_version  text NOT NULL,
    content_hash    bigint NOT NULL,
    name            text,
    created_at      timestamptz,
    updated_at      timestamptz,
    observed_at     timestamptz NOT NULL,
    synced_at       timestamptz NOT NULL,
    deleted_at      timestamptz,
    is_active       boolean NOT NULL,
    livemode        boolean,
    tags            text[] NOT NULL DEFAULT '{}',
    custom_fields   jsonb NOT NULL DEFAULT '{}',
    raw_data        json
) PARTITION BY LIST (source_system);

-- Raw records are stored as in the other tables.
DO $$ BEGIN
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE unified_records ALTER COLUMN raw_data SET COMPRESSION lz4;
    ELSE
        ALTER TABLE unified_records ALTER COLUMN raw_data SET STORAGE EXTERNAL;
    END IF;
END $$;

CALL isolate_by_workspace('unified_records');
GRANT SELECT, INSERT, UPDATE, DELETE ON unified_records TO unified_app;

-- A connector's leaves, one of each unified table, whichever tables there are. A leaf of unified_records may have many
-- streams, some of them large, so its key leads to one of them.
CREATE OR REPLACE PROCEDURE create_source_partitions(source text)
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    leaf   text;
BEGIN
    FOR parent IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'p' AND relname LIKE 'unified\_%'
    LOOP
        leaf := parent || '_' || source;
        IF to_regclass(leaf) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', leaf, parent, source);
            EXECUTE format(
                'ALTER TABLE %I ADD PRIMARY KEY (workspace_id, connection_id, %s)', leaf,
                CASE parent WHEN 'unified_records' THEN 'stream, source_id' ELSE 'source_id, stream' END
            );
            CALL isolate_by_workspace(leaf::regclass);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO unified_app', leaf);
        END IF;
    END LOOP;
END $$;

-- The view of invoices' lines says of which stream each is.
CREATE OR REPLACE VIEW unified_invoice_lines WITH (security_invoker = true) AS
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
    i.deleted_at,
    i.stream
FROM unified_invoices AS i
CROSS JOIN LATERAL jsonb_array_elements(i.line_items) WITH ORDINALITY AS l (item, ordinality);
