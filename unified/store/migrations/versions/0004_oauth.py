"""OAuth: the state of a connection's authorization, and the lease of whoever refreshes it."""

from unified.store.migrations.sql import run_sql_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
