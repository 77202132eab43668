-- Secrets as the release with revision 0006 stored them: written by that release's own code, and copied out of its
-- tables. The master key and every secret are made up; test_upgrade.py says what they are.

INSERT INTO workspaces (id, slug, name) VALUES
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', 'former', 'former');

INSERT INTO workspace_keys (id, workspace_id, wrapped_key, master_key_id) VALUES
    ('fac26c08-7649-4ab7-a748-393e7ee99e97', '1188bcdc-d19f-40d6-adef-c958f2a4f85b', 'gAAAAABrCsXqhQDXO5MhOMpOUo55HSr67k8jUWsujoHxu7WsYaBF4G5N851iGMnUKAXb9qwtXQ8t-JcK4iXsMl5yI-3QY2LF3ci8yUO0p9ht8zO86TtDRqXfmg_yFz8Z_OhYs3HG5TmP', '9243e2ade7b57855');

INSERT INTO connector_configs (id, workspace_id, connector, name) VALUES
    ('365988ec-d848-408a-8d60-8fa1e2c9d060', '1188bcdc-d19f-40d6-adef-c958f2a4f85b', 'hubspot', 'crm'),
    ('6249209e-714d-4e5f-ae79-5745b0c78f38', '1188bcdc-d19f-40d6-adef-c958f2a4f85b', 'stripe', 'pay');

INSERT INTO webhook_configs (id, workspace_id, connector_config_id, endpoint_path, verifier) VALUES
    ('5b65a3a7-8bb4-4f3e-bfd4-82b9172a6165', '1188bcdc-d19f-40d6-adef-c958f2a4f85b', '6249209e-714d-4e5f-ae79-5745b0c78f38', '1tOcLBsGQn-eUUsmCGk1eblLYK1SHmDY', 'stripe');

INSERT INTO connector_credentials (workspace_id, connector_config_id, webhook_config_id, kind, field, version, data_key_id, expires_at, ciphertext) VALUES
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '365988ec-d848-408a-8d60-8fa1e2c9d060', NULL, 'oauth_token', 'access_token', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', '2026-01-01 00:00:00+00:00', 'gAAAAABrCsXqSvB0nFbToCNGgAIBeItJXrT8iqFYYOrKtd7J1hsg6wS-hl8hptEtXHlZfI1_F3uAWLgvcPuca5iLdZPBbF78zVrTPfbcQLuYOqvlo4jvQzM='),
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '6249209e-714d-4e5f-ae79-5745b0c78f38', NULL, 'api_key', 'api_key', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', NULL, 'gAAAAABrCsXqoqeKQUwtOJeoxGKy4Cg1RZUIrbJSUiqTPI2cgHUuJLhlhsQKwtKA3wOYlsYhuwkSNUAVeO6WGMmR45TKbIQpzsLSKngWj89hgMksdbK68Pg='),
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '365988ec-d848-408a-8d60-8fa1e2c9d060', NULL, 'oauth_token', 'client_id', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', NULL, 'gAAAAABrCsXqdQvi_HYG2uxtLXyGV9fAUuYVC63A1vrjY8DlaLYWoIpbx7g-624DMWMtylWlOwGorCMu0D3ytuyJ8p9eF9vsCpH87UvbshDuiQ5EPJpLUnw='),
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '365988ec-d848-408a-8d60-8fa1e2c9d060', NULL, 'oauth_token', 'client_secret', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', NULL, 'gAAAAABrCsXqqpcr_g05XOZLS3iDWWtjdmmv9qRT7QGnWT4TPppincqRtXQzluTSaEnERrQi9aT3fhydV_udOIqL8aqQrHLIrs0jogEUOVVTKGgtL6TO7Sk='),
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '365988ec-d848-408a-8d60-8fa1e2c9d060', NULL, 'oauth_token', 'refresh_token', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', NULL, 'gAAAAABrCsXqYgfbVNKTIgmzaaejA_dhUQP5CRNmT4ojx2T06Qi9MO_9Y1BSFMUvC9le1Rl8o46L_DtqBHgAPHDURV7ZLfyMOjtcR5thEI8uS0YZbcKJHy4='),
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '6249209e-714d-4e5f-ae79-5745b0c78f38', '5b65a3a7-8bb4-4f3e-bfd4-82b9172a6165', 'webhook_secret', 'webhook_5b65a3a78bb44f3ebfd482b9172a6165_current', 1, 'fac26c08-7649-4ab7-a748-393e7ee99e97', NULL, 'gAAAAABrCsXq-waHxwaIOsf_djwHjC_9UIZ01lm5ZDEiG6wWfbOBPhHNRGvnTEwEG0Xu3FdaZte5-jCeT5xQDxPAOajVJg40lJCMJTarWvNGmq-LUBgoApk=');

INSERT INTO authorizations (workspace_id, connector_config_id, grant_type, account_id, authorized_by, fence, stored_fence) VALUES
    ('1188bcdc-d19f-40d6-adef-c958f2a4f85b', '365988ec-d848-408a-8d60-8fa1e2c9d060', 'authorization_code', '1001', 'cli', 1, 1);
