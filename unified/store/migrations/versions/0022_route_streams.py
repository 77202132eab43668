"""Routes name the streams that they lead from and to, and the log of changes those that changed."""

from unified.store.migrations.sql import run_sql_beside

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
