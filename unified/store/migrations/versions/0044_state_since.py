"""A row says since when its record is in this state, where reading it again or its deletion moved ``synced_at``."""

from unified.store.migrations.sql import run_sql_beside

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
