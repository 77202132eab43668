"""Who decided about each field rule, and what the proposal rested on."""

from unified.store.migrations.sql import run_sql_beside

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
