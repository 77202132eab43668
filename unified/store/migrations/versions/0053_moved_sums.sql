-- What invoices add up to is moved by what changes them, whatever that is: each change is a row, and the rows of a month
-- and a currency are its sum. They are put together now and then (unified/store/records/counts/invoiced.py).
-- As the invoices, they have no foreign key to the connection.
ALTER TABLE kept_sums DROP CONSTRAINT kept_sums_pkey, DROP CONSTRAINT kept_sums_workspace_id_connector_config_id_fkey;
CREATE INDEX kept_sums_by_month ON kept_sums (workspace_id, connector_config_id, stream, month, currency);
COMMENT ON TABLE kept_sums IS 'What issued invoices add up to, by month and currency: the sum of its rows, each of which is what a change added or took.';
COMMENT ON COLUMN kept_sums.invoices IS 'How many invoices more were issued in it, in the currency; below 0 where there are fewer.';

-- Issued: neither a draft, nor waiting for approval, nor void; what we owe ourselves is not counted.
CREATE FUNCTION issued_in(
    kind text, status text, deleted_at timestamptz, issue_date timestamptz, created_at timestamptz, currency text,
    total numeric
) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN deleted_at IS NULL AND kind = 'receivable' AND status IN ('open', 'partially_paid', 'paid', 'uncollectible')
        AND currency IS NOT NULL AND total IS NOT NULL
    THEN date_trunc('month', coalesce(issue_date, created_at) AT TIME ZONE 'UTC')::date
END;
COMMENT ON FUNCTION issued_in IS 'The first day of the month that an invoice counts in, in UTC; null where it does not count.';

CREATE FUNCTION add_new_sums() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
    SELECT workspace_id, connection_id, stream, month, currency, count(*), sum(total)
    FROM added
    CROSS JOIN LATERAL issued_in(kind, status, deleted_at, issue_date, created_at, currency, total) AS i (month)
    WHERE month IS NOT NULL
    GROUP BY workspace_id, connection_id, stream, month, currency;
    RETURN NULL;
END $$;

CREATE FUNCTION move_sums() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
    SELECT NEW.workspace_id, NEW.connection_id, NEW.stream, i.month, i.currency, sum(i.invoices), sum(i.total)
    FROM (
        VALUES
            (issued_in(OLD.kind, OLD.status, OLD.deleted_at, OLD.issue_date, OLD.created_at, OLD.currency, OLD.total),
                OLD.currency, -1, -OLD.total),
            (issued_in(NEW.kind, NEW.status, NEW.deleted_at, NEW.issue_date, NEW.created_at, NEW.currency, NEW.total),
                NEW.currency, 1, NEW.total)
    ) AS i (month, currency, invoices, total)
    WHERE i.month IS NOT NULL
    GROUP BY i.month, i.currency;
    RETURN NULL;
END $$;

-- Of each row that an update changes in this; a leaf that is made later has it as well.
CREATE TRIGGER sums_moved
AFTER UPDATE OF kind, status, deleted_at, issue_date, created_at, currency, total ON unified_invoices
FOR EACH ROW
WHEN (
    (issued_in(OLD.kind, OLD.status, OLD.deleted_at, OLD.issue_date, OLD.created_at, OLD.currency, OLD.total),
        OLD.currency, OLD.total)
    IS DISTINCT FROM
    (issued_in(NEW.kind, NEW.status, NEW.deleted_at, NEW.issue_date, NEW.created_at, NEW.currency, NEW.total),
        NEW.currency, NEW.total)
)
EXECUTE FUNCTION move_sums();

-- Of all rows of a statement, which names the table that has the trigger: the whole or one of its leaves.
CREATE PROCEDURE add_sums_of(rel regclass)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER sums_added AFTER INSERT ON %s REFERENCING NEW TABLE AS added
            FOR EACH STATEMENT EXECUTE FUNCTION add_new_sums()',
        rel
    );
END $$;
CALL add_sums_of('unified_invoices');
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'unified_invoices'::regclass LOOP
        CALL add_sums_of(leaf);
    END LOOP;
END $$;

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
            IF parent = 'unified_invoices' THEN
                CALL add_sums_of(leaf::regclass);
            END IF;
        END IF;
    END LOOP;
END $$;

ALTER TABLE unified_invoices NO FORCE ROW LEVEL SECURITY;
ALTER TABLE kept_sums NO FORCE ROW LEVEL SECURITY;
DELETE FROM kept_sums;
INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
SELECT workspace_id, connection_id, stream, month, currency, count(*), sum(total)
FROM unified_invoices
CROSS JOIN LATERAL issued_in(kind, status, deleted_at, issue_date, created_at, currency, total) AS i (month)
WHERE month IS NOT NULL
GROUP BY workspace_id, connection_id, stream, month, currency;
ALTER TABLE kept_sums FORCE ROW LEVEL SECURITY;
ALTER TABLE unified_invoices FORCE ROW LEVEL SECURITY;
