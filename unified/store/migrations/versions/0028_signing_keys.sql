-- Trust in connector documents is the deployment's: its operator says whose signatures count, and what was revoked.

CREATE TABLE signing_keys (
    fingerprint  text PRIMARY KEY CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    public_key   text NOT NULL CHECK (length(public_key) = 44),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    tier         text NOT NULL CHECK (tier IN ('project', 'workspace', 'third_party')),
    added_by     text NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN signing_keys.fingerprint IS 'SHA-256 of the public key, in hexadecimal digits.';
COMMENT ON COLUMN signing_keys.public_key IS 'Ed25519, its 32 bytes in base64.';
COMMENT ON COLUMN signing_keys.tier IS 'Of documents that it signed.';

CREATE TABLE revocations (
    revoked     text PRIMARY KEY CHECK (revoked ~ '^[0-9a-f]{64}$'),
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    revoked_by  text NOT NULL,
    revoked_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN revocations.revoked IS 'The hash of a document, or the fingerprint of a key.';

GRANT SELECT ON signing_keys, revocations TO unified_app, unified_scheduler;
