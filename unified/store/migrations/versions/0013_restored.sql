-- Positions are transaction ids, which each server counts by itself. A dump that is restored into another server brings
-- positions of the former one along: behind them nothing would be read until the new server's counter is there as well.

CREATE FUNCTION server_identifier() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN insufficient_privilege THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION server_identifier() IS 'Of the cluster, made by initdb; NULL where the server does not let everybody ask.';

CREATE TABLE position_server (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    identifier  bigint
);
COMMENT ON TABLE position_server IS 'One row: the server whose transaction ids the positions are.';
INSERT INTO position_server (identifier) VALUES (server_identifier());
GRANT SELECT ON position_server TO unified_scheduler;

-- As unified_scheduler, which sees every workspace's positions. Where the server does not say which it is, a position that
-- its counter has not reached does.
CREATE FUNCTION positions_are_foreign() RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT identifier FROM position_server) <> server_identifier(), false)
        OR EXISTS (SELECT FROM inbox_cursors WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
        OR EXISTS (SELECT FROM route_cursors WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()))
        OR EXISTS (
            SELECT FROM identity_state WHERE pg_snapshot_xmax(position) > pg_snapshot_xmax(pg_current_snapshot())
        )
$$;
