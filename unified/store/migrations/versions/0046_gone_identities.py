"""Identities that are no more are kept for a while, for those who follow them."""

from unified.store.migrations.sql import run_sql_beside

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
