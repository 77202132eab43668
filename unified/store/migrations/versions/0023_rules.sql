-- A connection's field rules are rules of the mapping language, whole: target, source, steps.

ALTER TABLE schema_mappings ADD COLUMN rule jsonb, NO FORCE ROW LEVEL SECURITY; -- the rows of every workspace

-- A former path was names between dots, of any characters. A name that a path of today would read otherwise is quoted.
UPDATE schema_mappings SET rule = jsonb_build_object('target', target_field, 'source', (
    SELECT regexp_replace(string_agg(
        CASE WHEN name ~ '[][*$]' OR name = ''
            THEN '[''' || replace(replace(name, '\', '\\'), '''', '\''') || ''']' ELSE '.' || name END,
        '' ORDER BY place), '^\.', '')
    FROM string_to_table(source_path, '.') WITH ORDINALITY AS part (name, place)));

-- What readers had in these columns stays there, as the rule says it; a rule of a constant has no source.
ALTER TABLE schema_mappings DROP COLUMN source_path;
ALTER TABLE schema_mappings
    ALTER COLUMN rule SET NOT NULL,
    ADD COLUMN source_path text GENERATED ALWAYS AS (rule ->> 'source') STORED,
    ADD CHECK (rule ->> 'target' = target_field),
    FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN schema_mappings.rule IS 'The rule, as docs/rules.md describes it.';
