-- What a stream's issued invoices add up to: added up once after their sync, for pages that are looked at often.
CREATE TABLE kept_sums (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL CHECK (stream ~ '^[a-z][a-z0-9_]{0,39}$'),
    month                date NOT NULL,
    currency             text NOT NULL,
    invoices             bigint NOT NULL,
    total                numeric NOT NULL,
    PRIMARY KEY (workspace_id, connector_config_id, stream, month, currency),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN kept_sums.month IS 'Its first day, in UTC.';
COMMENT ON COLUMN kept_sums.invoices IS 'How many invoices were issued in it, in the currency.';

CALL isolate_by_workspace('kept_sums');
GRANT SELECT, INSERT, DELETE ON kept_sums TO unified_app;
