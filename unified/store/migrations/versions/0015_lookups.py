"""Columns that customers are looked up by, where row level security leaves an index of use."""

from unified.store.migrations.sql import run_sql_beside

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
