"""The events of a record are found by an index."""

from unified.store.migrations.sql import run_sql_beside

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
