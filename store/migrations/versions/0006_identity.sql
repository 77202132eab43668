-- Identities: which customers of several sources are one, and why.

SELECT 1;
