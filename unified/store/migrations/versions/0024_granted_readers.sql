-- Readers that stay: logins of people's tools, each granted by somebody. The one who made a login for a single question
-- is not noted.

ALTER TABLE reader_logins
    ADD COLUMN granted_by text,
    ALTER COLUMN workspace DROP NOT NULL,
    DROP CONSTRAINT reader_logins_workspace_fkey,
    -- The login is the server's and stays after its workspace. It reads nothing then, and is removed as soon as
    -- somebody comes who may.
    ADD FOREIGN KEY (workspace) REFERENCES workspaces ON DELETE SET NULL;
CREATE INDEX reader_logins_by_workspace ON reader_logins (workspace);
COMMENT ON COLUMN reader_logins.workspace IS 'NULL where it was removed: the login reads nothing any more.';
COMMENT ON COLUMN reader_logins.granted_by IS 'NULL for a login that is made for one question.';
