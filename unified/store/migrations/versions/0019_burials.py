"""Burials: full refreshes that wait for a word of a person before they mark much as deleted."""

from unified.store.migrations.sql import run_sql_beside

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
