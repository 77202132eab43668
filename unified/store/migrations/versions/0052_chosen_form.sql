-- Whether raw records are compressed is shown and chosen by the API as well.
GRANT SELECT (compresses_raw) ON workspaces TO unified_api;
DROP TRIGGER next_version ON workspaces;
CREATE TRIGGER next_version BEFORE UPDATE OF slug, name, requires_approval, model_sees, compresses_raw ON workspaces
    FOR EACH ROW EXECUTE FUNCTION next_version();
