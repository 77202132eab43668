"""Sums of issued invoices are moved by what changes an invoice."""

from unified.store.migrations.sql import run_sql_beside

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
