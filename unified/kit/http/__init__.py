"""Requests to providers: client, authentication, limits, guarded addresses."""
