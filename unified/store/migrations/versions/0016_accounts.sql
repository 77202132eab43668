-- Whose account a connection's records are, and which settings each cursor was made with.

-- Every change that may lead to another account is a doubt, which the next sync settles by asking the provider. Where it
-- is another account, or live mode after test mode, the records of the former one are buried and the epoch rises: what
-- is still being read of the former account is not stored any more.
ALTER TABLE connector_configs
    ADD COLUMN account_id text,
    ADD COLUMN account_livemode boolean,
    ADD COLUMN account_epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN account_doubts integer NOT NULL DEFAULT 1,
    ADD COLUMN account_settled integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN connector_configs.account_id IS 'Whose records are stored, by the provider''s id; NULL before the first sync.';
COMMENT ON COLUMN connector_configs.account_settled IS 'How many of account_doubts are settled; fewer where the provider has to be asked.';

ALTER TABLE cursors ADD COLUMN scope text;
COMMENT ON COLUMN cursors.scope IS 'The settings that say what is read, as they were; NULL where an earlier release made the cursor.';

CREATE FUNCTION doubt_account() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.account_doubts := OLD.account_doubts + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER changed_ones_may_lead_elsewhere BEFORE UPDATE OF settings, connector ON connector_configs
    FOR EACH ROW WHEN ((old.settings, old.connector) IS DISTINCT FROM (new.settings, new.connector))
    EXECUTE FUNCTION doubt_account();

CREATE FUNCTION doubt_account_of_credential() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE connector_configs SET account_doubts = account_doubts + 1
    WHERE (workspace_id, id) = (NEW.workspace_id, NEW.connector_config_id);
    RETURN NULL;
END $$;
-- Not by a token that was refreshed: it opens what the one before it did.
CREATE TRIGGER new_ones_may_open_another_account AFTER INSERT ON connector_credentials
    FOR EACH ROW WHEN (new.webhook_config_id IS NULL) EXECUTE FUNCTION doubt_account_of_credential();
CREATE TRIGGER other_ones_may_open_another_account AFTER UPDATE OF version ON connector_credentials
    FOR EACH ROW WHEN (new.webhook_config_id IS NULL AND (new.kind <> 'oauth_token' OR old.kind <> 'oauth_token'))
    EXECUTE FUNCTION doubt_account_of_credential();
