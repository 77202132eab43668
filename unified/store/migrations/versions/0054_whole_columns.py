"""Columns beside a raw record are stored whole."""

from unified.store.migrations.sql import run_sql_beside

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
