-- Readers. A login that is a member of unified_reader reads the rows of one workspace: the one that reader_logins names
-- for it. Who logged in is the one thing that a session can't change, whatever SQL it is given: the setting that
-- the working roles go by says nothing here.

CREATE TABLE reader_logins (
    login       name PRIMARY KEY,
    workspace   uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE reader_logins IS 'Which workspace a login reads. Only the owner of the tables sees or changes it.';

CREATE FUNCTION reader_workspace() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT r.workspace FROM reader_logins AS r WHERE r.login = session_user);
COMMENT ON FUNCTION reader_workspace() IS 'Workspace of the login of this session; NULL if it is no reader''s.';
REVOKE EXECUTE ON FUNCTION reader_workspace() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reader_workspace() TO unified_reader;
GRANT USAGE ON SCHEMA public TO unified_reader;

-- Beside isolate_by_workspace, for what a reader may see.
CREATE PROCEDURE let_readers_read(rel regclass, workspace_column text DEFAULT 'workspace_id')
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE POLICY readers ON %s FOR SELECT TO unified_reader USING (%I = (SELECT reader_workspace()))',
        rel, workspace_column
    );
    EXECUTE format('GRANT SELECT ON %s TO unified_reader', rel);
END $$;
REVOKE EXECUTE ON PROCEDURE let_readers_read(regclass, text) FROM PUBLIC;

CALL let_readers_read('workspaces', 'id');
CALL let_readers_read('connector_configs');
CALL let_readers_read('schema_mappings');
CALL let_readers_read('sync_history');
CALL let_readers_read('rejects');
CALL let_readers_read('unified_customers');
CALL let_readers_read('unified_invoices');
CALL let_readers_read('unified_events');
CALL let_readers_read('unified_records');
CALL let_readers_read('routes');
CALL let_readers_read('pushed_records');
CALL let_readers_read('route_outbox');
CALL let_readers_read('customer_identities');
CALL let_readers_read('golden_customers');
CALL let_readers_read('identity_aliases');
CALL let_readers_read('identity_decisions');
GRANT SELECT ON connectors TO unified_reader;

-- Tables of derived assets and views of records that there are already; those to come are readable from the start.
DO $$
DECLARE
    rel  regclass;
    kind "char";
BEGIN
    FOR rel, kind IN
        SELECT oid, relkind FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
            AND (relkind = 'v' AND relname <> 'identity_pairs' OR relkind = 'r' AND starts_with(relname, 'derived_'))
    LOOP
        IF kind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %s TO unified_reader', rel);
        ELSE
            CALL let_readers_read(rel);
        END IF;
    END LOOP;
END $$;

-- What recognises a delivery is signed: a header that named it is not (unified/kit/webhooks/verifiers.py).
ALTER TABLE webhook_configs NO FORCE ROW LEVEL SECURITY;
UPDATE webhook_configs SET options = options - 'id_header' WHERE options ? 'id_header';
ALTER TABLE webhook_configs FORCE ROW LEVEL SECURITY;
