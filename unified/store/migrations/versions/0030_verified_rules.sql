-- Rules may be proposed. Only one that a person accepted is active; one that a person declined is kept, and not active.

ALTER TABLE schema_mappings
    ADD COLUMN version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN confidence_score numeric(3, 2) CHECK (confidence_score BETWEEN 0 AND 1),
    ADD COLUMN human_verified boolean NOT NULL DEFAULT true,
    ADD COLUMN decided_by text,
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN spec_hash text,
    ADD CHECK (human_verified OR NOT is_active);
COMMENT ON COLUMN schema_mappings.version IS 'How often it was decided about.';
COMMENT ON COLUMN schema_mappings.confidence_score IS 'How sure the proposal was; null of a rule that nobody proposed.';
COMMENT ON COLUMN schema_mappings.human_verified IS 'Whether a person decided about it.';
COMMENT ON COLUMN schema_mappings.decided_by IS 'Who did.';
COMMENT ON COLUMN schema_mappings.spec_hash IS 'Of the shape of the field that it reads, as it was then.';
