"""Secrets that are kept elsewhere than in the database: where each is found, and what may be looked at."""
