"""Connector documents that somebody writes, before they are installed."""

from unified.store.migrations.sql import run_sql_beside

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
