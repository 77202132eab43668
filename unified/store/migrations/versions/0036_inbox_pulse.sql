-- Whether an event was received since: a sensor asks that often, and looks through the inbox only where one was.
GRANT SELECT ON SEQUENCE webhook_inbox_id TO unified_scheduler;

CREATE INDEX connector_configs_requested ON connector_configs (sync_requested_at) WHERE sync_requested_at IS NOT NULL;
