ALTER TABLE cursors ADD COLUMN report jsonb;
COMMENT ON COLUMN cursors.report IS
    'How far the provider was told whose data are kept, and when it is told next; NULL where it asks for nothing.';
GRANT SELECT (report) ON cursors TO unified_scheduler;
