-- A record's events: a customer's page shows the newest, and the API lists them.
CREATE INDEX unified_events_by_resource ON unified_events (workspace_id, connection_id, resource_id)
    WHERE resource_id IS NOT NULL;
