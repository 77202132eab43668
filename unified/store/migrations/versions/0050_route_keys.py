"""Phone numbers and domains with names are kept where a route looks for them, in place of an index of all customers."""

from unified.store.migrations.sql import run_sql_beside

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
