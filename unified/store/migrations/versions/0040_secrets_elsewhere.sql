-- Secrets that are looked up at each use, in the environment, a file or Vault.
ALTER TABLE connector_credentials ADD COLUMN reference text CHECK (length(reference) BETWEEN 1 AND 1000);
COMMENT ON COLUMN connector_credentials.reference IS
    'Where the secret is kept; the ciphertext is this text then. NULL where the secret itself is stored.';
