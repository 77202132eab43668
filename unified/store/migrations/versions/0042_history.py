"""A stream may keep each former state of its records."""

from unified.store.migrations.sql import run_sql_beside

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
