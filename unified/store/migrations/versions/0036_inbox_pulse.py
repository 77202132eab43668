"""A sensor may see whether an event was received, and finds requests to sync by an index."""

from unified.store.migrations.sql import run_sql_beside

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
