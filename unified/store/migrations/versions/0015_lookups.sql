-- What customers are looked up by, as columns of its own form.
--
-- Under row level security a condition reaches an index only if its operator and functions are leakproof, which none of
-- lower(), right(), regexp_replace(), split_part() and ->> is: an index on such an expression is never used by the app.
-- `=` on text is (https://www.postgresql.org/docs/current/rules-privileges.html).

ALTER TABLE unified_customers
    ADD COLUMN email_key text GENERATED ALWAYS AS (lower(email)) STORED,
    ADD COLUMN phone_key text GENERATED ALWAYS AS (right(regexp_replace(phone, '\D', '', 'g'), 8)) STORED,
    ADD COLUMN company_key text
        GENERATED ALWAYS AS (lower(split_part(email, '@', 2)) || '|' || lower(name)) STORED;
COMMENT ON COLUMN unified_customers.email_key IS 'The e-mail address as routes compare it.';
COMMENT ON COLUMN unified_customers.phone_key IS 'The last eight digits of the phone number.';
COMMENT ON COLUMN unified_customers.company_key IS 'Domain of the e-mail address and name.';

DROP INDEX unified_customers_by_email, unified_customers_by_phone;
CREATE INDEX unified_customers_by_email ON unified_customers (workspace_id, connection_id, email_key)
    WHERE email_key IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX unified_customers_by_phone ON unified_customers (workspace_id, connection_id, phone_key)
    WHERE phone_key IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX unified_customers_by_company ON unified_customers (workspace_id, connection_id, company_key)
    WHERE company_key IS NOT NULL AND deleted_at IS NULL;
