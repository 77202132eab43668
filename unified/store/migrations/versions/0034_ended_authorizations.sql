-- An authorization that has ended keeps why: the connection's own error is emptied by the next attempt to sync.
ALTER TABLE authorizations DROP CONSTRAINT authorizations_check1;
ALTER TABLE authorizations ADD CONSTRAINT authorizations_check1 CHECK (
    (failures > 0) = (next_attempt_at IS NOT NULL) AND (failures = 0 OR error IS NOT NULL)
);
UPDATE authorizations AS a SET error = c.error_message
FROM connector_configs AS c
WHERE (c.workspace_id, c.id) = (a.workspace_id, a.connector_config_id) AND c.needs_reauth AND a.error IS NULL;
