"""Processes that commands start and end: Dagster, the webhook server, its workers, the stand-ins."""
