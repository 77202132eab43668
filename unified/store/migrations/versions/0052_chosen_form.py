"""Callers of the API see whether a workspace's raw records are compressed."""

from unified.store.migrations.sql import run_sql_beside

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
