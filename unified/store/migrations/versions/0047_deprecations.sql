-- What the operator advises against: unlike what is revoked it stays in use, and it can be taken back.

CREATE TABLE deprecations (
    deprecated     text PRIMARY KEY CHECK (deprecated ~ '^([0-9a-f]{64}|[a-z][a-z0-9_]{0,39})$'),
    reason         text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    deprecated_by  text NOT NULL,
    deprecated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN deprecations.deprecated IS 'The hash of a document, or the name of a connector: all its versions.';

GRANT SELECT ON deprecations TO unified_scheduler;
