"""The embedded PostgreSQL server: its programs, its start and end, and how long it is waited for."""
