-- What a model may be shown of the workspace's records, when somebody asks one for rules.
ALTER TABLE workspaces ADD COLUMN model_sees text NOT NULL DEFAULT 'shapes'
    CHECK (model_sees IN ('nothing', 'shapes', 'values'));
COMMENT ON COLUMN workspaces.model_sees IS
    'What a model may be shown, when one is asked for rules: nothing, names and shapes of fields, or some values too.';
GRANT SELECT (model_sees) ON workspaces TO unified_api;
DROP TRIGGER next_version ON workspaces;
CREATE TRIGGER next_version BEFORE UPDATE OF slug, name, requires_approval, model_sees ON workspaces
    FOR EACH ROW EXECUTE FUNCTION next_version();

-- What a model answered last about a stream. Models do not answer the same twice, and a person decides later.
CREATE TABLE model_answers (
    workspace_id         uuid NOT NULL,
    connector_config_id  uuid NOT NULL,
    stream               text NOT NULL,
    model                text NOT NULL,
    question_hash        text NOT NULL,
    pairs                jsonb NOT NULL,
    asked_by             text NOT NULL,
    asked_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, connector_config_id, stream),
    FOREIGN KEY (workspace_id, connector_config_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN model_answers.question_hash IS 'Of model, fields and targets, but for figures, which each sync changes.';
COMMENT ON COLUMN model_answers.pairs IS 'Fields that it named, each checked. None of the values that it may have seen.';

-- Tokens are set aside before a question is sent, so that questions side by side keep to the limit too.
CREATE TABLE model_usage (
    workspace_id  uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    day           date NOT NULL,
    questions     integer NOT NULL CHECK (questions >= 0),
    tokens        bigint NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (workspace_id, day)
);

CALL isolate_by_workspace('model_answers');
CALL isolate_by_workspace('model_usage');
GRANT SELECT, INSERT, UPDATE, DELETE ON model_answers, model_usage TO unified_app;
