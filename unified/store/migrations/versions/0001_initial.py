"""Workspaces, connections, credentials, sync state and the unified tables."""

from unified.store.migrations.sql import run_sql_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
