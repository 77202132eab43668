"""An event in the inbox may lead back to the trace of its delivery."""

from unified.store.migrations.sql import run_sql_beside

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
