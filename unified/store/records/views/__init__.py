"""Views for people and their tools: of each stream of records, and the schema `data` with all that they read."""
