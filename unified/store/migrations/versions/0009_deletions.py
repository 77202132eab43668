"""Deletions: of records that were never stored, and by merging."""

from unified.store.migrations.sql import run_sql_beside

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
