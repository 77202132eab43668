"""Names of the headers that the API has of its own."""

WORKSPACE = "X-Workspace"
REQUEST_ID = "X-Request-Id"
IDEMPOTENCY_KEY = "Idempotency-Key"
