-- Routes: standing orders to push customers, and what was pushed.

SELECT 1;
