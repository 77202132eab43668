ALTER TABLE webhook_inbox ADD COLUMN traceparent text;
COMMENT ON COLUMN webhook_inbox.traceparent IS 'The span of its delivery (W3C Trace Context), where traces are on.';
