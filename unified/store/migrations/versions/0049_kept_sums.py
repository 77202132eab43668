"""Sums of issued invoices are kept, by month and currency."""

from unified.store.migrations.sql import run_sql_beside

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
