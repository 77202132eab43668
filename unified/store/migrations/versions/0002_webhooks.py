"""Webhooks: endpoints with rolling secrets, the inbox of received events, and what could not be applied."""

from unified.store.migrations.sql import run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
