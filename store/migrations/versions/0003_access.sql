-- Who may do what: members, API tokens, approval of connections, idempotency keys.

SELECT 1;
