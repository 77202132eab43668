-- OAuth: the state of a connection's authorization, and the lease of whoever refreshes it.

SELECT 1;
