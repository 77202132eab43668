"""Accounts: whose records a connection has, and the settings that its cursors were made with."""

from unified.store.migrations.sql import run_sql_beside

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
