-- When a push was sent, kept for as long as nobody knows what became of it: a record that came up since may be what it
-- created. A push that was being sent when this step ran was sent when its row was last changed.
ALTER TABLE route_outbox ADD COLUMN sent_at timestamptz;
ALTER TABLE route_outbox NO FORCE ROW LEVEL SECURITY;
UPDATE route_outbox SET sent_at = updated_at WHERE state = 'sending';
ALTER TABLE route_outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE route_outbox ADD CONSTRAINT route_outbox_sent CHECK (state <> 'sending' OR sent_at IS NOT NULL);
COMMENT ON COLUMN route_outbox.sent_at IS
    'Since when this push is on its way. Set with a state other than `sending`: nothing tells whether it was applied.';
COMMENT ON COLUMN route_outbox.other_id IS
    'The record to change on the other side, or the one that a person chose; of a record in review, the one whose push may have created it.';
