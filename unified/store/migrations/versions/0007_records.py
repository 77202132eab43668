"""Streams apart from tables, and a table for every other kind of record."""

from unified.store.migrations.sql import run_sql_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
