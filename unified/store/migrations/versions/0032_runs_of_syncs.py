"""Which syncs a run left open when it died is seen across workspaces: a round is of many."""

from unified.store.migrations.sql import run_sql_beside

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
