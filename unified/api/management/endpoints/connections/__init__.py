"""`/api/connectors`: connectors, connections, their credentials, grants, field rules, syncs and numbers."""
