"""Pushes whose answer was lost: when they were sent, for as long as nobody knows what became of them."""

from unified.store.migrations.sql import run_sql_beside

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
